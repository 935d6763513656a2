// SPDX-License-Identifier: Apache-2.0

// The official Go client in both eras: what every client of these tests must see.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

var tools = []string{
	"cancel_execution", "create_api_key", "create_workflow", "decide_approval", "execute_workflow", "get_execution",
	"get_execution_logs", "get_workflow", "list_api_keys", "list_approvals", "list_executions", "list_workflows",
	"revoke_api_key", "rotate_api_key", "update_workflow", "validate_workflow", "whoami",
}

// bearer adds a token to each request and keeps the last refusal.
type bearer struct {
	token     string
	mutex     sync.Mutex
	status    int
	challenge string
}

func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+b.token)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err == nil && response.StatusCode >= 400 {
		b.mutex.Lock()
		b.status, b.challenge = response.StatusCode, response.Header.Get("WWW-Authenticate")
		b.mutex.Unlock()
	}
	return response, err
}

// watcher keeps what it is told of progress.
type watcher struct {
	mutex    sync.Mutex
	progress []float64
}

func (w *watcher) told(_ context.Context, request *mcp.ProgressNotificationClientRequest) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.progress = append(w.progress, request.Params.Progress)
}

func (w *watcher) seen() []float64 {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.Clone(w.progress)
}

func connect(ctx context.Context, client_ *bearer, w *watcher, version string) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "kubiya-mcp-interop", Version: "1.0.0"},
		&mcp.ClientOptions{ProgressNotificationHandler: w.told})
	transport := &mcp.StreamableClientTransport{
		Endpoint:   os.Getenv("BASE_URL") + "/mcp",
		HTTPClient: &http.Client{Transport: client_},
	}
	return client.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
}

func call(ctx context.Context, session *mcp.ClientSession, token any, name string, arguments map[string]any) (map[string]any, error) {
	params := &mcp.CallToolParams{Name: name, Arguments: arguments}
	if token != nil {
		params.SetProgressToken(token)
	}
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return nil, err
	}
	structured, is := result.StructuredContent.(map[string]any)
	if result.IsError || !is {
		return nil, fmt.Errorf("%s failed: %v", name, result.Content)
	}
	return structured, nil
}

func listsTools(ctx context.Context, session *mcp.ClientSession) error {
	var names []string
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return err
		}
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, tools) {
		return fmt.Errorf("tools: %v", names)
	}
	return nil
}

func runsHello(ctx context.Context, session *mcp.ClientSession, w *watcher) error {
	run, err := call(ctx, session, "hello-progress", "execute_workflow", map[string]any{"name": "hello"})
	if err != nil {
		return err
	}
	if run["status"] != "finished" || run["subject"] != "deployer" {
		return fmt.Errorf("hello: %v", run)
	}
	seen := w.seen()
	if len(seen) == 0 {
		return errors.New("no notifications of progress")
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] <= seen[i-1] {
			return fmt.Errorf("progress does not rise: %v", seen)
		}
	}
	return nil
}

func followsALongRun(ctx context.Context, session *mcp.ClientSession) error {
	run, err := call(ctx, session, nil, "execute_workflow",
		map[string]any{"name": "long-running", "params": map[string]any{"SECONDS": "2"}, "wait": 0})
	if err != nil {
		return err
	}
	goesOn := func() bool { return run["status"] == "queued" || run["status"] == "running" }
	if !goesOn() {
		return fmt.Errorf("answered after the end: %v", run)
	}
	id := run["execution_id"]
	for goesOn() {
		time.Sleep(100 * time.Millisecond)
		if run, err = call(ctx, session, nil, "get_execution", map[string]any{"execution_id": id}); err != nil {
			return err
		}
	}
	if run["status"] != "finished" {
		return fmt.Errorf("the long run: %v", run)
	}
	return nil
}

func refusesTheViewer(ctx context.Context, version string) error {
	client_ := &bearer{token: os.Getenv("VIEWER_TOKEN")}
	session, err := connect(ctx, client_, &watcher{}, version)
	if err != nil {
		return err
	}
	defer session.Close()
	if _, err := call(ctx, session, nil, "execute_workflow", map[string]any{"name": "hello"}); err == nil {
		return errors.New("a viewer ran a workflow")
	}
	if client_.status != http.StatusForbidden || !strings.Contains(client_.challenge, `error="insufficient_scope"`) ||
		!strings.Contains(client_.challenge, `scope="execute"`) {
		return fmt.Errorf("refused with %d %s", client_.status, client_.challenge)
	}
	return nil
}

func check(ctx context.Context, label, version string) bool {
	passed := true
	step := func(name string, err error) bool {
		if err != nil {
			passed = false
			fmt.Printf("FAIL %s: %s: %v\n", label, name, err)
			return false
		}
		fmt.Printf("ok   %s: %s\n", label, name)
		return true
	}
	w := &watcher{}
	session, err := connect(ctx, &bearer{token: os.Getenv("DEPLOYER_TOKEN")}, w, version)
	if !step("connects", err) {
		return false
	}
	defer session.Close()
	negotiated := session.InitializeResult().ProtocolVersion
	wanted := version
	if wanted == "" {
		wanted = "2026-07-28"
	}
	if negotiated != wanted {
		step("negotiates "+wanted, fmt.Errorf("got %s", negotiated))
	}
	step("lists the 11 tools it may use", listsTools(ctx, session))
	step("runs hello and is told its progress", runsHello(ctx, session, w))
	step("follows a long run to its end", followsALongRun(ctx, session))
	step("a viewer is refused for the missing scope", refusesTheViewer(ctx, version))
	if passed {
		fmt.Printf("result: %s | %s\n", label, negotiated)
	}
	return passed
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	modern := check(ctx, "default", "")
	legacy := check(ctx, "`ProtocolVersion: \"2025-11-25\"`", "2025-11-25")
	if !modern || !legacy {
		os.Exit(1)
	}
}
