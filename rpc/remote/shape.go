package remote

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

const (
	// costPerByte and costFree bound what a message may make its receiver
	// allocate: real ones need a few bytes a byte.
	costPerByte = 32
	costFree    = 512 << 10
	// boxed is what a value in an interface takes beside its slot.
	boxed = 24
	// mapBase is what a Go map takes beside its pairs, and mapGroup how many pairs
	// it makes room for at once.
	mapBase  = 64
	mapGroup = 8
	// mapSlack: what a Go map takes and has taken while it grew, in times of its
	// pairs (measured).
	mapSlack = 5
)

var (
	errTooCostly = errors.New("message claims more than its length can hold")
	errMalformed = errors.New("malformed message")
	errMismatch  = errors.New("message does not have the form of its type")
)

// shape is what a type looks like to a message.
type shape struct {
	kind   reflect.Kind // Struct, Map, Slice, Interface; Invalid = anything without parts
	size   uint64       // of a value in its slot
	behind uint64       // what a pointer leads to
	elem   *shape       // of a map or slice
	key    uint64       // size of a map's key
	fields map[string]*shape
}

// shapes finds shapes once.
type shapes struct {
	mu    sync.Mutex
	known map[reflect.Type]*shape
	ready sync.Map // reflect.Type -> *shape, finished ones
}

func (s *shapes) of(t reflect.Type) *shape {
	if sh, ok := s.ready.Load(t); ok {
		return sh.(*shape)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[reflect.Type]*shape{}
	}
	sh := s.build(t)
	s.ready.Store(t, sh)
	return sh
}

func (s *shapes) build(t reflect.Type) *shape {
	if sh, ok := s.known[t]; ok {
		return sh
	}
	sh := &shape{size: uint64(t.Size())}
	s.known[t] = sh
	if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.BinaryUnmarshaler]()) {
		return sh // a time, which travels as text
	}
	switch t.Kind() {
	case reflect.Pointer:
		to := *s.build(t.Elem())
		to.size, to.behind = sh.size, to.size+to.behind
		*sh = to
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() != reflect.Uint8 {
			sh.kind, sh.elem = reflect.Slice, s.build(t.Elem())
		}
	case reflect.Map:
		sh.kind, sh.elem, sh.key = reflect.Map, s.build(t.Elem()), uint64(t.Key().Size())
	case reflect.Interface:
		sh.kind, sh.elem, sh.key = reflect.Interface, sh, sh.size
	case reflect.Struct:
		sh.kind, sh.fields = reflect.Struct, map[string]*shape{}
		s.members(t, sh.fields)
	}
	return sh
}

// members names the fields of a struct as the codec does.
func (s *shapes) members(t reflect.Type, into map[string]*shape) {
	for f := range t.Fields() {
		tag, ok := f.Tag.Lookup("cbor")
		if !ok {
			tag = f.Tag.Get("json")
		}
		name, _, _ := strings.Cut(tag, ",")
		if part := f.Type; f.Anonymous && name == "" {
			if part.Kind() == reflect.Pointer {
				part = part.Elem()
			}
			if part.Kind() == reflect.Struct {
				s.members(part, into)
				continue
			}
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		into[name] = s.build(f.Type)
	}
}

// survey goes through a message before it is decoded, and adds up what it would
// become. It allocates nothing.
type survey struct {
	data []byte
	at   int
	cost uint64
	most uint64
}

// check refuses a message whose form is not that of its type, or that would
// become far more than its length. What it lets pass is not yet well-formed.
func (s *shapes) check(data []byte, t reflect.Type) error {
	v := survey{data: data, most: uint64(len(data))*costPerByte + costFree}
	return v.item(s.of(t), maxNesting)
}

// head reads the beginning of an item.
func (v *survey) head() (major byte, arg uint64, err error) {
	if v.at >= len(v.data) {
		return 0, 0, errMalformed
	}
	b := v.data[v.at]
	v.at++
	major, arg = b>>5, uint64(b&0x1f)
	if arg >= 24 {
		if arg > 27 {
			return 0, 0, errMalformed // reserved, or of a length that is not told
		}
		size := 1 << (arg - 24)
		if len(v.data)-v.at < size {
			return 0, 0, errMalformed
		}
		var wide [8]byte
		copy(wide[8-size:], v.data[v.at:v.at+size])
		arg = binary.BigEndian.Uint64(wide[:])
		v.at += size
	}
	if major >= majorBytes && major <= majorMap && arg > uint64(len(v.data)-v.at) {
		return 0, 0, errMalformed // every item takes a byte at least
	}
	return major, arg, nil
}

// Major types of CBOR (RFC 8949, 3.1), and what is in an item's first byte when it
// is null or undefined.
const (
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorTag    = 6
	majorSimple = 7
	simpleNull  = 22
	simpleUndef = 23
)

// item goes over one item that is to become sh; nil = it will be skipped.
func (v *survey) item(sh *shape, depth int) error {
	if depth == 0 {
		return errMalformed
	}
	major, arg, err := v.head()
	if err != nil {
		return err
	}
	if sh != nil && (major != majorSimple || arg != simpleNull && arg != simpleUndef) {
		if err := v.charge(sh, major, arg); err != nil {
			return err
		}
	}
	switch major {
	case majorBytes, majorText:
		v.at += int(arg)
	case majorTag:
		return errMalformed // nothing of ours has tags
	case majorArray:
		var elem *shape
		if sh != nil {
			elem = sh.elem
		}
		for range arg {
			if err := v.item(elem, depth-1); err != nil {
				return err
			}
		}
	case majorMap:
		for range arg {
			value, err := v.key(sh, depth)
			if err != nil {
				return err
			}
			if err := v.item(value, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// key goes over a key, and finds what its value is to become.
func (v *survey) key(sh *shape, depth int) (*shape, error) {
	if sh == nil || sh.kind != reflect.Struct {
		if sh != nil {
			sh = sh.elem
		}
		return sh, v.item(nil, depth-1)
	}
	start := v.at
	major, arg, err := v.head()
	if err != nil {
		return nil, err
	}
	if major != majorText {
		v.at = start
		return nil, v.item(nil, depth-1)
	}
	name := v.data[v.at : v.at+int(arg)]
	v.at += int(arg)
	return sh.fields[string(name)], nil
}

// charge adds what an item becomes beside the slot that it stands in.
func (v *survey) charge(sh *shape, major byte, arg uint64) error {
	v.cost += sh.behind
	switch sh.kind {
	case reflect.Struct:
		if major != majorMap {
			return errMismatch
		}
	case reflect.Slice:
		if major != majorArray {
			return errMismatch
		}
		v.cost += arg * sh.elem.size
	case reflect.Map:
		if major != majorMap {
			return errMismatch
		}
		v.cost += mapBase + (arg*mapSlack+mapGroup)*(sh.key+sh.elem.size)
	case reflect.Interface:
		v.cost += boxed
		switch major {
		case majorArray:
			v.cost += arg * sh.size
		case majorMap:
			v.cost += mapBase + (arg*mapSlack+mapGroup)*2*sh.size
		}
	default:
		if major == majorArray || major == majorMap {
			return errMismatch
		}
	}
	if v.cost > v.most {
		return fmt.Errorf("%w: %d bytes", errTooCostly, len(v.data))
	}
	return nil
}
