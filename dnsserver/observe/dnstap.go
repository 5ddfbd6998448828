package observe

import (
	"encoding/binary"
	"time"
)

// The messages of dnstap (https://dnstap.info, dnstap.proto), in the encoding of
// protocol buffers: there are few fields, and they are always the same.
const (
	fieldIdentity = 1
	fieldVersion  = 2
	fieldMessage  = 14
	fieldKind     = 15
	kindMessage   = 1

	fieldType         = 1
	fieldFamily       = 2
	fieldProtocol     = 3
	fieldQueryAddress = 4
	fieldQueryPort    = 6
	fieldQuerySec     = 8
	fieldQueryNsec    = 9
	fieldQueryMessage = 10
	fieldReplySec     = 12
	fieldReplyNsec    = 13
	fieldReplyMessage = 14

	typeClientQuery    = 5
	typeClientResponse = 6
	familyIPv4         = 1
	familyIPv6         = 2

	wireVarint = 0
	wireBytes  = 2
	wireFixed  = 5
)

func appendNumber(b []byte, field, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, field<<3|wireVarint), v)
}

func appendBytes[T string | []byte](b []byte, field uint64, v T) []byte {
	b = binary.AppendUvarint(b, field<<3|wireBytes)
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func appendTime(b []byte, sec, nsec uint64, t time.Time) []byte {
	b = appendNumber(b, sec, uint64(t.Unix()))
	return binary.LittleEndian.AppendUint32(binary.AppendUvarint(b, nsec<<3|wireFixed), uint32(t.Nanosecond()))
}

// appendMessage is the Message of a question, or of its answer.
func appendMessage(b []byte, e *Exchange, reply bool) []byte {
	kind, family := uint64(typeClientQuery), uint64(familyIPv4)
	if reply {
		kind = typeClientResponse
	}
	addr := e.From.Addr().Unmap()
	if addr.Is6() {
		family = familyIPv6
	}
	b = appendNumber(b, fieldType, kind)
	b = appendNumber(b, fieldFamily, family)
	b = appendNumber(b, fieldProtocol, uint64(e.Door))
	b = appendBytes(b, fieldQueryAddress, addr.AsSlice())
	if e.From.Port() != 0 {
		b = appendNumber(b, fieldQueryPort, uint64(e.From.Port()))
	}
	b = appendTime(b, fieldQuerySec, fieldQueryNsec, e.Asked)
	if !reply {
		return appendBytes(b, fieldQueryMessage, e.Query)
	}
	b = appendTime(b, fieldReplySec, fieldReplyNsec, e.Answered)
	return appendBytes(b, fieldReplyMessage, e.Reply)
}

// appendTap is the Dnstap of a Message.
func appendTap(b []byte, identity, version string, message []byte) []byte {
	b = appendBytes(b, fieldIdentity, identity)
	b = appendBytes(b, fieldVersion, version)
	b = appendBytes(b, fieldMessage, message)
	return appendNumber(b, fieldKind, kindMessage)
}
