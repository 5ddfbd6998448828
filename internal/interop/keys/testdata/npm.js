// What users of the npm package consul do with keys, sessions, locks,
// transactions and watches.
// The package makes undefined of an answer that is false.
"use strict";
const assert = require("assert/strict");
const Consul = require("consul");

const consul = new Consul({ host: process.argv[2], port: 8500 });

async function keys() {
  assert.equal(await consul.kv.get("app/none"), undefined);
  assert.equal(await consul.kv.set("app/a", "one"), true);
  assert.equal(await consul.kv.set({ key: "app/b/c", value: "zwei ü", flags: 9 }), true);
  const a = await consul.kv.get("app/a");
  assert.deepEqual([a.Key, a.Value, a.Flags, a.LockIndex], ["app/a", "one", 0, 0]);
  assert.equal((await consul.kv.get({ key: "app/a", raw: true })).toString(), "one");
  const all = await consul.kv.get({ key: "app/", recurse: true });
  assert.deepEqual(all.map((e) => [e.Value, e.Flags]), [["one", 0], ["zwei ü", 9]]);
  assert.deepEqual(await consul.kv.keys("app/"), ["app/a", "app/b/c"]);
  assert.deepEqual(await consul.kv.keys({ key: "app/", separator: "/" }), ["app/a", "app/b/"]);
  assert.ok(!(await consul.kv.set({ key: "app/a", value: "two", cas: "0" })));
  assert.equal(await consul.kv.set({ key: "app/a", value: "two", cas: a.ModifyIndex }), true);
  assert.ok(!(await consul.kv.del({ key: "app/a", cas: a.ModifyIndex })));
  assert.equal(await consul.kv.del("app/a"), true);
  assert.equal(await consul.kv.del({ key: "app/", recurse: true }), true);
  assert.equal(await consul.kv.get({ key: "app/", recurse: true }), undefined);
  await assert.rejects(consul.kv.keys("app/"), (e) => e.response.statusCode === 404);
}

async function sessions() {
  const one = (await consul.session.create({ name: "one", ttl: "10s", behavior: "delete", lockdelay: "1ms" })).ID;
  const two = (await consul.session.create({ name: "two" })).ID;
  const info = await consul.session.get(one);
  assert.deepEqual([info.Name, info.TTL, info.Behavior, info.LockDelay], ["one", "10s", "delete", 1e6]);
  assert.equal((await consul.session.list()).length, 2);
  assert.equal((await consul.session.node(info.Node)).length, 2);
  assert.equal((await consul.session.renew(one))[0].ID, one);
  assert.equal(await consul.kv.set({ key: "lock", value: "1", acquire: one }), true);
  assert.ok(!(await consul.kv.set({ key: "lock", value: "2", acquire: two })));
  assert.equal((await consul.kv.get("lock")).Session, one);
  assert.equal(await consul.kv.set({ key: "lock", value: "1", release: one }), true);
  assert.equal((await consul.kv.get("lock")).Session, undefined);
  assert.equal(await consul.kv.set({ key: "lock", value: "1", acquire: one }), true);
  await consul.session.destroy(one);
  assert.equal(await consul.kv.get("lock"), undefined);
  assert.equal(await consul.session.get(one), undefined);
  await assert.rejects(consul.session.renew(one), (e) => e.response.statusCode === 404);
  await assert.rejects(consul.kv.set({ key: "lock", value: "x", acquire: one }), /invalid session/);
  await consul.session.destroy(two);
}

async function transactions() {
  const base = (s) => Buffer.from(s).toString("base64");
  const done = await consul.transaction.create([
    { KV: { Verb: "set", Key: "t/a", Value: base("1") } },
    { KV: { Verb: "get", Key: "t/a" } },
  ]);
  assert.equal(done.Results.length, 2);
  assert.equal(done.Errors, null);
  await assert.rejects(
    consul.transaction.create([
      { KV: { Verb: "set", Key: "t/b", Value: base("2") } },
      { KV: { Verb: "check-not-exists", Key: "t/a" } },
    ]),
    (e) => e.response.statusCode === 409 && e.response.body.Errors[0].OpIndex === 1,
  );
  assert.equal(await consul.kv.get("t/b"), undefined);
}

// Each value is written once the one before has been seen.
async function watches() {
  await consul.kv.set("watched", "0");
  const seen = [];
  await new Promise((resolve, reject) => {
    const watch = consul.watch({ method: consul.kv.get, options: { key: "watched", wait: "60s" } });
    watch.on("error", reject);
    watch.on("change", (data) => {
      seen.push(data.Value);
      if (seen.length === 4) {
        watch.end();
        resolve();
        return;
      }
      consul.kv.set("elsewhere", data.Value).then(() => consul.kv.set("watched", String(seen.length))).catch(reject);
    });
  });
  assert.deepEqual(seen, ["0", "1", "2", "3"]);
}

(async () => {
  for (const part of [keys, sessions, transactions, watches]) await part();
  console.log("done");
  process.exit(0); // its connections would keep it for a while
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
