"""What users of python-consul do with keys, sessions, locks and events."""
import sys
import threading
import time

import consul

c = consul.Consul(host=sys.argv[1], port=8500)


def same(got, want):
    assert got == want, "got %r, want %r" % (got, want)


def keys():
    index, none = c.kv.get("app/none")
    same(none, None)
    assert int(index) > 0
    same(c.kv.put("app/a", "one", flags=7), True)
    same(c.kv.put("app/b/c", b"\x00\xff"), True)
    same(c.kv.put("app/dir/", None), True)
    index, a = c.kv.get("app/a")
    same((a["Key"], a["Value"], a["Flags"], a["LockIndex"]), ("app/a", b"one", 7, 0))
    same(index, str(a["ModifyIndex"]))
    same([e["Value"] for e in c.kv.get("app/", recurse=True)[1]], [b"one", b"\x00\xff", None])
    same(c.kv.get("app/", keys=True)[1], ["app/a", "app/b/c", "app/dir/"])
    same(c.kv.get("app/", keys=True, separator="/")[1], ["app/a", "app/b/", "app/dir/"])
    for consistency in ("default", "consistent", "stale"):
        same(c.kv.get("app/a", consistency=consistency)[1]["Value"], b"one")
    same(c.kv.put("app/a", "two", cas=0), False)
    same(c.kv.put("app/a", "two", cas=a["ModifyIndex"] + 1), False)
    same(c.kv.put("app/a", "two", cas=a["ModifyIndex"]), True)
    same(c.kv.delete("app/a", cas=a["ModifyIndex"]), False)
    same(c.kv.delete("app/a", cas=c.kv.get("app/a")[1]["ModifyIndex"]), True)
    same(c.kv.put("app/a", "new", cas=0), True)
    same(c.kv.delete("app/", recurse=True), True)
    same(c.kv.get("app/", recurse=True)[1], None)
    try:
        taken = c.kv.put("app/large", "x" * (512 * 1024 + 1))
    except ValueError:  # this client takes the text of a 413 for JSON
        taken = False
    same(taken, False)
    same(c.kv.get("app/large")[1], None)


def waiting():
    index, _ = c.kv.get("waited")
    began = time.time()
    same(c.kv.get("waited", index=index, wait="1s")[1], None)
    assert time.time() - began >= 1
    got = []
    waiter = threading.Thread(target=lambda: got.append(c.kv.get("waited", index=index, wait="60s")))
    waiter.start()
    c.kv.put("elsewhere", "x")
    c.kv.put("waited", "x")
    waiter.join(60)
    same(got[0][1]["Value"], b"x")
    assert int(got[0][0]) > int(index)


def sessions():
    same(c.session.list()[1], [])
    one = c.session.create(name="one", ttl=10, lock_delay=0, behavior="delete")
    two = c.session.create(name="two", lock_delay=0)
    same(sorted(s["Name"] for s in c.session.list()[1]), ["one", "two"])
    node = c.session.info(one)[1]["Node"]
    same(len(c.session.node(node)[1]), 2)
    info = c.session.info(one)[1]
    same((info["TTL"], info["Behavior"], info["LockDelay"], info["NodeChecks"]), ("10s", "delete", 0, ["serfHealth"]))
    same(c.session.renew(one)["ID"], one)
    same(c.kv.put("lock", "1", acquire=one), True)
    same(c.kv.put("lock", "1", acquire=one), True)
    same(c.kv.put("lock", "2", acquire=two), False)
    same(c.kv.put("lock", "2", release=two), False)
    same(c.kv.put("kept", "2", acquire=two), True)
    same((c.kv.get("lock")[1]["Session"], c.kv.get("lock")[1]["LockIndex"]), (one, 1))
    same(c.kv.put("lock", "1", release=one), True)
    same("Session" in c.kv.get("lock")[1], False)
    same(c.kv.put("lock", "1", acquire=one), True)
    index = c.kv.get("lock")[0]
    got = []
    waiter = threading.Thread(target=lambda: got.append(c.kv.get("lock", index=index, wait="60s")))
    waiter.start()
    same(c.session.destroy(one), True)
    waiter.join(60)
    same(got[0][1], None)
    same(c.session.destroy(two), True)
    kept = c.kv.get("kept")[1]
    same((kept["Value"], kept.get("Session")), (b"2", None))
    same(c.session.info(one)[1], None)
    try:
        c.session.renew(one)
        assert False, "a session that has ended was renewed"
    except consul.NotFound:
        pass
    try:
        c.kv.put("lock", "x", acquire=one)
        assert False, "a session that has ended took a lock"
    except consul.ConsulException as e:
        assert "invalid session" in str(e), e


def events():
    fired = c.event.fire("deploy", "payload")
    same((fired["Name"], fired["Version"]), ("deploy", 1))
    index, seen = None, []
    until = time.time() + 60
    while not seen and time.time() < until:
        index, seen = c.event.list("deploy", index=index, wait="1s")
    same([(e["ID"], e["Payload"]) for e in seen], [(fired["ID"], b"payload")])


for part in (keys, waiting, sessions, events):
    part()
print("done")
