package dnsserver

import (
	"slices"

	"github.com/miekg/dns"
)

const (
	// padBlock is what lengths of padded replies are multiples of (RFC 8467, section 4.1).
	padBlock = 468
	// optionLen is the head of an EDNS option: code and length.
	optionLen = 4
)

// packPadded packs a reply, and fills it up to a usual length where the way is
// encrypted and the asker has filled up its query (RFC 7830, section 4).
func packPadded(r *dns.Msg, out []byte, opt *dns.OPT, from asker) ([]byte, error) {
	resp, err := r.PackBuffer(out)
	own := r.IsEdns0()
	if err != nil || !from.hidden || opt == nil || own == nil || !slices.ContainsFunc(opt.Option, isPadding) {
		return resp, err
	}
	blocks := (len(resp) + optionLen + padBlock - 1) / padBlock
	fill := blocks*padBlock - len(resp) - optionLen
	if blocks*padBlock > dns.MaxMsgSize {
		return resp, nil
	}
	own.Option = append(own.Option, &dns.EDNS0_PADDING{Padding: make([]byte, fill)})
	return r.PackBuffer(out)
}

func isPadding(o dns.EDNS0) bool { return o.Option() == dns.EDNS0PADDING }
