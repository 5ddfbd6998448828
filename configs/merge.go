package configs

import "reflect"

// merge lays src over dst, both of type file or a block of it: a scalar that
// src names replaces, maps and blocks join, lists append. With listsFirst the
// lists of src go before those of dst (flags come first, as documented).
func merge(dst, src reflect.Value, listsFirst bool) {
	switch dst.Kind() {
	case reflect.Struct:
		for i := range dst.NumField() {
			if dst.Type().Field(i).IsExported() {
				merge(dst.Field(i), src.Field(i), listsFirst)
			}
		}
	case reflect.Pointer:
		switch {
		case src.IsNil():
		case dst.IsNil() || dst.Elem().Kind() != reflect.Struct:
			dst.Set(src)
		default:
			joined := reflect.New(dst.Type().Elem()) // sources are shared with nobody, but stay as they were
			joined.Elem().Set(dst.Elem())
			merge(joined.Elem(), src.Elem(), listsFirst)
			dst.Set(joined)
		}
	case reflect.Slice:
		first, second := dst, src
		if listsFirst {
			first, second = src, dst
		}
		if src.Len() > 0 {
			out := reflect.MakeSlice(dst.Type(), 0, dst.Len()+src.Len())
			dst.Set(reflect.AppendSlice(reflect.AppendSlice(out, first), second))
		}
	case reflect.Map:
		if src.Len() == 0 {
			return
		}
		out := reflect.MakeMapWithSize(dst.Type(), dst.Len()+src.Len())
		for _, m := range []reflect.Value{dst, src} {
			for _, k := range m.MapKeys() {
				out.SetMapIndex(k, m.MapIndex(k))
			}
		}
		dst.Set(out)
	default:
		if !src.IsZero() {
			dst.Set(src)
		}
	}
}
