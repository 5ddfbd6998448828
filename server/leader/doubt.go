package leader

import (
	"context"
	"sync"
	"time"

	"consul.internal/catalog"
	"go.uber.org/zap"
)

// heed looks at members that somebody had no answer from, each by itself, until
// the leadership ends. One that gives no sign of life turns critical seconds before
// the pool has agreed on its death: the pool asks seldom, and may not be wrong,
// while the leader asks often, and has others ask.
func (r *Reconciler) heed(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case name := <-r.Doubts:
			if r.Silent == nil || !r.take(name) {
				continue // doubts come again while there is reason
			}
			wg.Go(func() {
				defer r.release(name)
				r.doubt(ctx, name)
			})
		case <-ctx.Done():
			return
		}
	}
}

// take makes sure that a member is looked at once at a time.
func (r *Reconciler) take(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looking[name] || len(r.looking) >= maxLooks {
		return false
	}
	if r.looking == nil {
		r.looking = map[string]bool{}
	}
	r.looking[name] = true
	return true
}

func (r *Reconciler) release(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.looking, name)
}

func (r *Reconciler) taken(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.looking[name]
}

// doubt turns a silent member critical, and passing again if it answers before the
// pool has noticed anything, for then nobody else would.
func (r *Reconciler) doubt(ctx context.Context, name string) {
	if !r.Silent(ctx, name) || ctx.Err() != nil {
		return
	}
	m, ok := r.living(name)
	if !ok || m.ID == r.Self {
		return
	}
	node, check, err := r.look(ctx, m.Name)
	if err == nil && (node == nil || node.ID != m.ID || check == nil) {
		return // not a member for the catalog yet, or another node by that name
	}
	if err == nil && check.Status != catalog.Critical {
		r.Log.Info("member gives no sign of life, marking health critical", zap.String("member", name))
		err = r.critical(ctx, &catalog.Node{ID: m.ID, Name: m.Name, Address: m.Address})
	}
	for err == nil {
		pause := time.NewTimer(retryPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		if m, ok = r.living(name); !ok {
			return // the pool knows, and Reconcile goes by it
		}
		if r.Reachable != nil && r.Reachable(ctx, m) {
			r.Log.Info("member gives signs of life again", zap.String("member", name))
			err = r.alive(ctx, m, true)
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		r.Log.Error("failed to bring a silent member in line with the catalog; its next silence, or the pool, will", zap.String("member", name), zap.Error(err))
	}
}

// living is a member that the pool holds for alive.
func (r *Reconciler) living(name string) (Member, bool) {
	for _, m := range r.Members() {
		if m.Name == name {
			return m, m.Status == Alive
		}
	}
	return Member{}, false
}
