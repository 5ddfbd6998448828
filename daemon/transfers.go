package daemon

import (
	"consul.internal/catalog"
	"consul.internal/dnsserver/transfer"
)

// newTransfers makes what gives the zone to secondaries, if the configuration of DNS
// says so.
func newTransfers(d *Daemon) (err error) {
	d.transfers, err = transfer.New(transfer.Deps{
		Logger: d.log.Named("dns"),
		Whole:  func() []catalog.Change { return d.store.State().Everything() },
		Ready:  d.store.Ready, Index: d.views.dir.Index, Guarded: d.settings.ACL.Enabled,
	})
	if err == nil {
		d.onClose("zone transfers", d.transfers.Close)
	}
	return err
}

// feed hands on what the state has changed: to the names that are answered, then to
// those who have them whole, which must not be ahead.
func feed(d *Daemon, b catalog.Batch) {
	d.views.feed.Apply(b)
	d.transfers.Apply(b)
}
