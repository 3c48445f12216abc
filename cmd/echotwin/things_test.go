package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const tankTD = `{"@context":"https://www.w3.org/2022/wot/td/v1.1","id":"urn:echotwin:plant/tank","title":"Tank","security":"none","securityDefinitions":{"none":{"scheme":"nosec"}},
	"properties":{"level":{"type":"number"}}}`

// What the API describes outlives a kill, and what it removes stays removed:
// the description, the values in checkpoint and log, and the history.
func TestDescriptionsOutliveAKill(t *testing.T) {
	env := settings(t, nil)
	a, process := startProcess(t, env)
	c := signIn(t, a)
	for _, id := range []string{"kept", "gone"} {
		td := strings.Replace(tankTD, "plant/tank", "plant/"+id, 1)
		if code, body := c.do("POST", "/api/things", td); code != 201 {
			t.Fatalf("%d %s", code, body)
		}
		if code, body := c.do("POST", "/api/telemetry/plant/"+id, `{"level":7}`); code != 202 {
			t.Fatalf("%d %s", code, body)
		}
	}
	has := func(c *client, id string) bool {
		_, body := c.do("GET", "/api/history?thing=plant/"+id+"&property=level&format=ndjson", "")
		return strings.Contains(body, `"value":7`)
	}
	eventually(t, "history has both", func() bool { return has(c, "kept") && has(c, "gone") })
	viewer := c.watch("?path=plant/*")
	viewer.until("the snapshot", func(f frame) bool { return f.Type == "snapshot" })
	if code, body := c.do("DELETE", "/api/things/plant/gone", ""); code != 204 {
		t.Fatalf("%d %s", code, body)
	}
	viewer.until("that the thing is gone", func(f frame) bool {
		_, told := f.Things["plant/gone"]
		return f.Type == "update" && told && f.value("plant/gone", "level") != "7"
	})
	eventually(t, "history has forgotten it", func() bool { return !has(c, "gone") })
	if code, body := c.do("POST", "/api/models", tankTM); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	if code, body := c.do("POST", "/api/things", `{"id":"plant/made","echotwin:model":"tank","echotwin:values":{"N":1,"MAX":10}}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	if code, body := c.do("PATCH", "/api/models/tank", `{"title":"Big tank {{N}}"}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()

	a, _ = start(t, env)
	c = signIn(t, a)
	if code, body := c.do("GET", "/api/things/plant/made", ""); code != 200 || !strings.Contains(body, `"Big tank 1"`) {
		t.Errorf("what is made of a model: %d %s", code, body)
	}
	if code, body := c.do("GET", "/api/things/plant/kept", ""); code != 200 || !strings.Contains(body, `"Tank"`) {
		t.Errorf("the kept one: %d %s", code, body)
	}
	if code, body := c.do("GET", "/api/things/plant/gone", ""); code != 404 {
		t.Errorf("the removed one: %d %s", code, body)
	}
	eventually(t, "history is open", func() bool { return has(c, "kept") })
	if has(c, "gone") {
		t.Error("the history of the removed thing is back")
	}
}

func TestTheFolderOfThingsIsFollowed(t *testing.T) {
	t.Parallel() // it waits for the next look at the folder, mostly
	env := settings(t, nil)
	dir := filepath.Join(env["ECHOTWIN_DATA"], "things")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, _ := start(t, env)
	c := signIn(t, a)
	title := func() string {
		code, body := c.do("GET", "/api/things/plant/tank", "")
		if code != 200 {
			return ""
		}
		return decode[struct{ Title string }](t, body).Title
	}
	write := func(name, td string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(td), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _ := c.do("POST", "/api/things", strings.Replace(tankTD, `"Tank"`, `"By the API"`, 1)); code != 201 {
		t.Fatal(code)
	}
	write("tank.json", tankTD)
	eventually(t, "the file stands before the API", func() bool { return title() == "Tank" })
	// Many at once are read side by side. The notes of what was read were once
	// looked at while they were written.
	for i := range 64 {
		write(fmt.Sprintf("many-%d.json", i), strings.Replace(tankTD, "plant/tank", fmt.Sprintf("plant/many-%d", i), 1))
	}
	for i := range 64 {
		eventually(t, "each of many files is read", func() bool {
			code, _ := c.do("GET", fmt.Sprintf("/api/things/plant/many-%d", i), "")
			return code == 200
		})
	}
	write("tank.json", strings.Replace(tankTD, `"Tank"`, `"Big tank"`, 1))
	eventually(t, "the file was changed", func() bool { return title() == "Big tank" })
	write("tank.json", `{"id":`)
	write("other.json", strings.Replace(tankTD, "plant/tank", "plant/other", 1))
	eventually(t, "the other file is read", func() bool { code, _ := c.do("GET", "/api/things/plant/other", ""); return code == 200 })
	if got := title(); got != "Big tank" {
		t.Errorf("a broken file left %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "tank.json")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what the API described is back", func() bool { return title() == "By the API" })
}

const tankTM = `{"@context":"https://www.w3.org/2022/wot/td/v1.1","@type":"tm:ThingModel","id":"tank","title":"Tank {{N}}","properties":{"level":{"type":"number","maximum":"{{MAX}}"}}}`

// One model, and a list of what is made of it, in two files of which either may
// come first; a change of the model is a change of all, and outlives a restart.
func TestAFolderWithAModel(t *testing.T) {
	t.Parallel() // it waits for the next look at the folder, mostly
	env := settings(t, nil)
	dir := filepath.Join(env["ECHOTWIN_DATA"], "things")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a-list.json", `[{"id":"plant/t1","echotwin:model":"tank","echotwin:values":{"N":1,"MAX":10}},{"id":"plant/t2","echotwin:model":"tank","echotwin:values":{"N":2,"MAX":20}}]`)
	write("model.json", tankTM)
	a, stop := start(t, env)
	c := signIn(t, a)
	title := func(id string) string {
		code, body := c.do("GET", "/api/things/"+id, "")
		if code != 200 {
			return ""
		}
		return decode[struct{ Title string }](t, body).Title
	}
	if got := title("plant/t2"); got != "Tank 2" {
		t.Fatalf("got %q", got)
	}
	if code, body := c.do("POST", "/api/things", `{"id":"plant/t3","echotwin:model":"tank","echotwin:values":{"N":3,"MAX":30}}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	if code, body := c.do("DELETE", "/api/models/tank", ""); code != 409 || !strings.Contains(body, "model.json") {
		t.Errorf("%d %s", code, body)
	}
	write("model.json", strings.Replace(tankTM, "Tank", "Big tank", 1))
	for _, id := range []string{"plant/t1", "plant/t2", "plant/t3"} {
		eventually(t, id+" follows its model", func() bool { return strings.HasPrefix(title(id), "Big tank") })
	}
	stop()
	a, _ = start(t, env)
	c = signIn(t, a)
	if got := title("plant/t3"); got != "Big tank 3" {
		t.Errorf("after a restart %q", got)
	}
}
