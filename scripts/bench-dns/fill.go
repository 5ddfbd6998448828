//go:build ignore

// Fill writes the catalog that bench-dns asks for, and changes it.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"time"
)

// perTransaction is what an API transaction may hold.
const perTransaction = 64

type object = map[string]any

func main() {
	addr := flag.String("http", "", "address of the agent")
	fixed := flag.Bool("fixed", false, "write the few names that have a number of instances")
	names := flag.Int("names", 0, "write so many names of three instances, or change some of them")
	changes := flag.Int("changes", 0, "change so many instances a second")
	long := flag.Duration("for", 0, "change them for so long")
	flag.Parse()
	switch {
	case *fixed:
		var ops []object
		for i := 1; i <= 3; i++ {
			ops = append(ops, node(i), service(i, "web", 8080))
		}
		for i := range 500 {
			n := fmt.Sprintf("m%d", i)
			ops = append(ops, object{"Node": object{"Verb": "set", "Node": object{"Node": n, "Address": fmt.Sprintf("10.1.%d.%d", i/250, i%250)}}},
				object{"Service": object{"Verb": "set", "Node": n, "Service": object{"Service": "many", "ID": "many", "Port": 8080}}})
		}
		put(*addr, ops)
	case *changes > 0:
		every := time.NewTicker(time.Second * perTransaction / time.Duration(*changes))
		for end := time.Now().Add(*long); time.Now().Before(end); {
			<-every.C
			var ops []object
			for range perTransaction {
				ops = append(ops, service(1+rand.IntN(3), fmt.Sprintf("s%d", rand.IntN(*names)), 8000+rand.IntN(1000)))
			}
			put(*addr, ops)
		}
	default:
		for at := 0; at < *names; {
			var ops []object
			for ; at < *names && len(ops)+3 <= 1000*perTransaction; at++ {
				for i := 1; i <= 3; i++ {
					ops = append(ops, service(i, fmt.Sprintf("s%d", at), 8080))
				}
			}
			put(*addr, ops)
		}
	}
}

func node(i int) object {
	return object{"Node": object{"Verb": "set", "Node": object{"Node": fmt.Sprintf("n%d", i), "Address": fmt.Sprintf("10.0.0.%d", i)}}}
}

func service(i int, name string, port int) object {
	return object{"Service": object{"Verb": "set", "Node": fmt.Sprintf("n%d", i), "Service": object{"Service": name, "ID": name, "Port": port}}}
}

func put(addr string, ops []object) {
	for len(ops) > 0 {
		n := min(len(ops), perTransaction)
		body, err := json.Marshal(ops[:n])
		if err != nil {
			log.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/v1/txn", bytes.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			log.Fatalf("%s: %.300s", resp.Status, text)
		}
		ops = ops[n:]
	}
}
