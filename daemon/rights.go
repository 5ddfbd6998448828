package daemon

import (
	"context"
	"errors"
	"fmt"

	"consul.internal/internal/fault"
	"consul.internal/view"
)

// judge tells what those may see who follow names at this server; nil where there
// is no access control.
func judge(d *Daemon) view.Judge {
	if !d.settings.ACL.Enabled {
		return nil
	}
	return func(ctx context.Context, secret string) (view.Sight, error) { return d.srv.Judge(ctx, secret) }
}

// watchRights has this server's own answers, the zone that it gives to secondaries, and
// the names that it pushes, follow what tokens may do, until ctx ends.
func watchRights(ctx context.Context, d *Daemon, own *view.Local) {
	d.srv.WatchACLs(ctx, d.views.feed.Rejudge, func(ctx context.Context) {
		sight, err := d.srv.Judge(ctx, d.tokens.DNS())
		if errors.Is(err, fault.Denied) {
			// Not as if nothing existed: a person must learn that the token is wrong.
			err = fmt.Errorf("%w: the token of DNS questions (acl.tokens.dns, or else default): %s", view.ErrNoSight, err)
		}
		own.See(sight, err)
		d.transfers.See(sight, err)
	})
}
