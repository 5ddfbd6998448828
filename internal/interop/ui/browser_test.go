package ui

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browser is a window of Chromium, steered over WebDriver.
type browser struct {
	t       *testing.T
	session string // its address
	page    string // that was opened last, for messages
}

// elementKey is the name under which WebDriver hands elements around.
const elementKey = "element-6066-11e4-a52e-4f735466cecf"

// need skips a test where there is no browser.
func need(t *testing.T) {
	t.Helper()
	for _, program := range []string{"chromium", "chromedriver"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %v; make interop-ui as root installs it where apt-get can", err)
		}
	}
}

// newBrowser starts a driver and a window of its own. The test fails if anything was
// said on the browser's console by the end of it.
func newBrowser(t *testing.T, dark bool, width, height int) *browser {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	start(t, program{name: "chromedriver", path: "chromedriver", args: []string{fmt.Sprintf("--port=%d", port)}})
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	poll(t, "chromedriver", func() error {
		r, err := http.Get(base + "/status")
		if err == nil {
			_ = r.Body.Close()
		}
		return err
	})
	b := &browser{t: t}
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(),
		fmt.Sprintf("--window-size=%d,%d", width, height),
	}
	if dark {
		args = append(args, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
	}
	options := map[string]any{"args": args}
	if width < 500 { // a window cannot be so narrow, a telephone can
		options["mobileEmulation"] = map[string]any{"deviceMetrics": map[string]any{"width": width, "height": height, "pixelRatio": 2.0}}
	}
	var made struct {
		SessionID string `json:"sessionId"`
	}
	b.session = base
	b.call(http.MethodPost, "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": map[string]string{"browser": "ALL"},
	}}}, &made)
	b.session = base + "/session/" + made.SessionID
	t.Cleanup(func() {
		b.noComplaints()
		b.call(http.MethodDelete, "", nil, nil)
	})
	return b
}

func (b *browser) try(method, path string, in, out any) error {
	var body io.Reader
	if method == http.MethodPost {
		if in == nil {
			in = struct{}{}
		}
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, b.session+path, body)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var envelope struct{ Value json.RawMessage }
	if err := json.NewDecoder(answer.Body).Decode(&envelope); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, envelope.Value)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(envelope.Value, out)
}

func (b *browser) call(method, path string, in, out any) {
	b.t.Helper()
	if err := b.try(method, path, in, out); err != nil {
		b.t.Fatalf("at %s: %v", b.page, err)
	}
}

// noComplaints holds the console against nothing: errors of scripts and breaches of
// the page's policy are written there.
func (b *browser) noComplaints() {
	b.t.Helper()
	var lines []struct{ Level, Message string }
	b.call(http.MethodPost, "/se/log", map[string]string{"type": "browser"}, &lines)
	for _, l := range lines {
		// What was refused on purpose is said here, too.
		if strings.Contains(l.Message, "the server responded with a status of 40") && strings.Contains(l.Message, "/ui/") {
			continue
		}
		b.t.Errorf("at %s the console says: %s %s", b.page, l.Level, l.Message)
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.page = url
	b.call(http.MethodPost, "/url", map[string]string{"url": url}, nil)
}

func (b *browser) url() string {
	b.t.Helper()
	var s string
	b.call(http.MethodGet, "/url", nil, &s)
	return s
}

// run performs a script in the page; its result goes to out.
func (b *browser) run(script string, out any, args ...any) {
	b.t.Helper()
	if args == nil {
		args = []any{}
	}
	b.call(http.MethodPost, "/execute/sync", map[string]any{"script": script, "args": args}, out)
}

// find waits for an element.
func (b *browser) find(using, what string) string {
	b.t.Helper()
	var found map[string]string
	poll(b.t, what+" at "+b.page, func() error {
		return b.try(http.MethodPost, "/element", map[string]string{"using": using, "value": what}, &found)
	})
	return found[elementKey]
}

func (b *browser) click(using, what string) {
	b.t.Helper()
	poll(b.t, "a click on "+what+" at "+b.page, func() error {
		return b.try(http.MethodPost, "/element/"+b.find(using, what)+"/click", nil, nil)
	})
}

// follow clicks a link by its text.
func (b *browser) follow(text string) {
	b.t.Helper()
	b.click("xpath", fmt.Sprintf("//a[normalize-space()=%q]", text))
}

// write empties a field and writes into it.
func (b *browser) write(css, text string) {
	b.t.Helper()
	at := "/element/" + b.find("css selector", css)
	b.call(http.MethodPost, at+"/clear", nil, nil)
	b.call(http.MethodPost, at+"/value", map[string]string{"text": text}, nil)
}

// keys presses keys where the focus is.
func (b *browser) keys(text string) {
	b.t.Helper()
	var actions []map[string]string
	for _, r := range text {
		actions = append(actions, map[string]string{"type": "keyDown", "value": string(r)}, map[string]string{"type": "keyUp", "value": string(r)})
	}
	b.call(http.MethodPost, "/actions", map[string]any{"actions": []any{map[string]any{"type": "key", "id": "k", "actions": actions}}}, nil)
}

// text is what can be read on the page.
func (b *browser) text() string {
	var s string
	b.run("return document.body.innerText", &s)
	return s
}

// await waits until a script says true.
func (b *browser) await(what, script string, args ...any) {
	b.t.Helper()
	poll(b.t, what+" at "+b.page, func() error {
		var ok bool
		if b.run(script, &ok, args...); !ok {
			return fmt.Errorf("the page reads:\n%s", b.text())
		}
		return nil
	})
}

// sees waits for a text on the page.
func (b *browser) sees(text string) {
	b.t.Helper()
	b.await(fmt.Sprintf("%q", text), "return document.body.innerText.includes(arguments[0])", text)
}

// shoot leaves a picture.
func (b *browser) shoot(name string) {
	b.t.Helper()
	var text string
	b.call(http.MethodGet, "/screenshot", nil, &text)
	png, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b.t.Fatal(err)
	}
	dir := filepath.Join("..", "..", "..", "build", "ui")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// patience is more than a page needs on a machine that others use, too.
const patience = 30 * time.Second

// poll waits until ok finds no fault any more.
func poll(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
	}
}
