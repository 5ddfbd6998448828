package store

import "reflect"

// deref shows what records point to, for comparison as text.
func deref(v any) any {
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	if r.Kind() == reflect.Struct {
		fields := map[string]any{}
		for i := range r.NumField() {
			if r.Type().Field(i).IsExported() {
				fields[r.Type().Field(i).Name] = deref(r.Field(i).Interface())
			}
		}
		return fields
	}
	return r.Interface()
}
