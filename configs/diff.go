package configs

import (
	"reflect"
	"slices"
	"strings"
)

// Diff compares two configurations of a running agent. changed are the keys
// whose value differs; needRestart those of them that a running agent cannot
// take, so that the old value stays in force. Keys of parts not built yet are
// never in needRestart: a restart would not help.
func Diff(old, new *Settings) (changed, needRestart []string) {
	keys := map[string]Key{}
	for _, k := range Keys() {
		keys[k.Name] = k
	}
	add := func(name string) {
		changed = append(changed, name)
		if k := keys[name]; k.Built && !k.Reload {
			needRestart = append(needRestart, name)
		}
	}
	if old.Dev != new.Dev {
		changed, needRestart = append(changed, "-dev"), append(needRestart, "-dev")
	}
	compare("", reflect.ValueOf(old.effective), reflect.ValueOf(new.effective), add)
	if !reflect.DeepEqual(old.Definitions.Services, new.Definitions.Services) {
		add("services")
	}
	if !reflect.DeepEqual(old.Definitions.Checks, new.Definitions.Checks) {
		add("checks")
	}
	if !reflect.DeepEqual(old.Definitions.Watches, new.Definitions.Watches) {
		add("watches")
	}
	slices.Sort(changed)
	slices.Sort(needRestart)
	return changed, needRestart
}

// compare calls add for every key of two structs of the same type that differs.
// Services, checks and watches are left out: their places in files do not count.
func compare(path string, a, b reflect.Value, add func(string)) {
	t := a.Type()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("hcl"), ",")
		if name == "" || path == "" && (name == "services" || name == "checks" || name == "watches") {
			continue
		}
		x, y := a.Field(i), b.Field(i)
		if x.Kind() == reflect.Struct {
			compare(path+name+".", x, y, add)
			continue
		}
		if !reflect.DeepEqual(x.Interface(), y.Interface()) {
			add(path + name)
		}
	}
}
