package remote

import (
	"reflect"
	"testing"
	"time"
)

// TestWholeMessages: a message of each type, with something in all its fields, arrives.
func TestWholeMessages(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range targets() {
		in := reflect.New(typ)
		fill(in.Elem(), 6)
		data, err := c.enc.Marshal(in.Interface())
		if err != nil {
			t.Errorf("%v: %v", typ, err)
			continue
		}
		if err := c.decode(data, reflect.New(typ).Interface()); err != nil {
			t.Errorf("%v: %v", typ, err)
		}
	}
}

// fill puts something in all that can be sent, as deep as depth says.
func fill(v reflect.Value, depth int) {
	if depth == 0 || !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth-1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth-1)
	case reflect.Map:
		key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth-1)
		fill(item, depth-1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, item)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1_700_000_000, 0)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), depth-1)
		}
	}
}
