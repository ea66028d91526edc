// The Go SDK's client; the tour is in ../../README.md. usage: client ERA http URL | ERA stdio COMMAND [ARG...]
//
// The era may also be a revision, such as 2025-03-26. Prints one line of JSON for each check.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	limit  = 20 * time.Second
	notice = "demo://notice"
	usage  = "usage: client ERA http URL | ERA stdio COMMAND [ARG...]"
)

var (
	levels = []string{"notice", "warning", "error", "critical", "alert", "emergency"}
	roots  = []*mcp.Root{{URI: "file:///home/ada/one", Name: "one"}, {URI: "file:///home/ada/two"}}
)

// heard is what notifications brought.
type heard struct {
	sync.Mutex
	progress []*mcp.ProgressNotificationParams
	levels   []string
	tools    bool
	notice   bool
}

type client struct {
	*mcp.ClientSession
	modern bool
	wanted string
	heard  *heard
}

// until waits for what a handler of notifications hears: it runs beside the call.
func (c *client) until(limit time.Duration, condition func(*heard) bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		c.heard.Lock()
		ok := condition(c.heard)
		c.heard.Unlock()
		if ok || time.Now().After(end) {
			return ok
		}
	}
}

func (c *client) call(ctx context.Context, name string, args map[string]any) (*mcp.CallToolResult, error) {
	if args == nil {
		// It would be sent as `null`, which is not an object.
		args = map[string]any{}
	}
	return c.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: args})
}

// says gives the text with which a call ends.
func (c *client) says(ctx context.Context, name string, args map[string]any) (string, error) {
	result, err := c.call(ctx, name, args)
	if err != nil {
		return "", err
	}
	return textOf(result.Content)
}

func (c *client) read(ctx context.Context, uri string) (string, error) {
	result, err := c.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
	if err != nil {
		return "", err
	}
	return result.Contents[0].Text, nil
}

func textOf(content []mcp.Content) (string, error) {
	if len(content) > 0 {
		if block, ok := content[0].(*mcp.TextContent); ok {
			return block.Text, nil
		}
	}
	return "", fmt.Errorf("no text in %v", content)
}

// expect holds what was found against what it must be, contain or begin with.
func expect(found string, err error, fits func(string, string) bool, wanted string) (string, error) {
	if err == nil && !fits(found, wanted) {
		err = fmt.Errorf("%q instead of %q", found, wanted)
	}
	return found, err
}

func equal(found, wanted string) bool { return found == wanted }

// refused says with which code it was.
func refused(err error, wanted int64) (string, error) {
	var wire *jsonrpc.Error
	switch {
	case err == nil:
		return "", errors.New("it was not refused")
	case !errors.As(err, &wire):
		return "", fmt.Errorf("not an error of the protocol: %w", err)
	case wire.Code != wanted:
		return "", fmt.Errorf("code %d instead of %d", wire.Code, wanted)
	}
	return fmt.Sprintf("code %d", wire.Code), nil
}

// errAbsent ends a check of something that this era does not have.
var errAbsent = errors.New("not in this era")

type check struct {
	name string
	work func(context.Context, *client) (string, error)
}

var checks = []check{
	{"connect", func(_ context.Context, c *client) (string, error) {
		found := c.InitializeResult()
		if (found.ProtocolVersion == "2026-07-28") != c.modern || c.wanted != "" && found.ProtocolVersion != c.wanted {
			return "", fmt.Errorf("version %s", found.ProtocolVersion)
		}
		return found.ServerInfo.Name + ", " + found.ProtocolVersion, nil
	}},
	{"ping", func(ctx context.Context, c *client) (string, error) {
		if c.modern {
			return "", errAbsent
		}
		return "answered", c.Ping(ctx, nil)
	}},
	{"list tools", func(ctx context.Context, c *client) (string, error) {
		names := []string{}
		for tool, err := range c.Tools(ctx, nil) {
			if err != nil {
				return "", err
			}
			names = append(names, tool.Name)
			if tool.Name == "add" && !strings.Contains(fmt.Sprint(tool.OutputSchema), "integer") {
				return "", fmt.Errorf("output schema %v", tool.OutputSchema)
			}
		}
		for _, name := range []string{"whoami", "add", "countdown"} {
			if !slices.Contains(names, name) {
				return "", fmt.Errorf("tools %v", names)
			}
		}
		return fmt.Sprintf("%d tools", len(names)), nil
	}},
	{"pagination", pagination},
	{"call", func(ctx context.Context, c *client) (string, error) {
		said, err := c.says(ctx, "whoami", nil)
		return expect(said, err, strings.HasPrefix, "replica ")
	}},
	{"call, structured output", func(ctx context.Context, c *client) (string, error) {
		result, err := c.call(ctx, "add", map[string]any{"a": 2, "b": 40})
		if err != nil {
			return "", err
		}
		found, err := json.Marshal(result.StructuredContent)
		return expect(string(found), err, equal, `{"sum":42}`)
	}},
	{"call, floats for integers", func(ctx context.Context, c *client) (string, error) {
		arguments := map[string]any{"a": json.RawMessage("2.0"), "b": json.RawMessage("4e1")}
		result, err := c.call(ctx, "add", arguments)
		if err != nil {
			return "", err
		}
		found, err := json.Marshal(result.StructuredContent)
		return expect(string(found), err, equal, `{"sum":42}`)
	}},
	{"call, argument in a header", func(ctx context.Context, c *client) (string, error) {
		said, err := c.says(ctx, "query", map[string]any{"region": "eu-süd 1", "text": "rain"})
		return expect(said, err, strings.HasPrefix, "rain asked in eu-süd 1")
	}},
	{"tool's own error", func(ctx context.Context, c *client) (string, error) {
		result, err := c.call(ctx, "fail", map[string]any{"reason": "on purpose"})
		if err != nil {
			return "", err
		}
		if !result.IsError {
			return "", errors.New("isError is not set")
		}
		said, err := textOf(result.Content)
		return expect(said, err, strings.Contains, "on purpose")
	}},
	{"protocol error", func(ctx context.Context, c *client) (string, error) {
		_, err := c.call(ctx, "fail", map[string]any{"kind": "protocol", "reason": "on purpose"})
		return refused(err, -32602)
	}},
	{"unknown tool", func(ctx context.Context, c *client) (string, error) {
		_, err := c.call(ctx, "no_such_tool", nil)
		return refused(err, -32602)
	}},
	{"progress notifications", progress},
	{"log messages", logMessages},
	{"list resources and templates", func(ctx context.Context, c *client) (string, error) {
		uris, templates := []string{}, []string{}
		for resource, err := range c.Resources(ctx, nil) {
			if err != nil {
				return "", err
			}
			uris = append(uris, resource.URI)
		}
		for template, err := range c.ResourceTemplates(ctx, nil) {
			if err != nil {
				return "", err
			}
			templates = append(templates, template.URITemplate)
		}
		if !slices.Contains(uris, notice) || !slices.Contains(templates, "demo://capitals/{country}") {
			return "", fmt.Errorf("%v and %v", uris, templates)
		}
		return fmt.Sprintf("%d resources, %d templates", len(uris), len(templates)), nil
	}},
	{"read resources", func(ctx context.Context, c *client) (string, error) {
		said, err := c.read(ctx, "demo://capitals/norway")
		if said, err = expect(said, err, equal, "Oslo"); err != nil {
			return "", err
		}
		_, err = c.read(ctx, "demo://no-such-thing")
		wanted := int64(-32002)
		if c.modern {
			wanted = -32602
		}
		code, err := refused(err, wanted)
		return said + "; unknown: " + code, err
	}},
	{"get prompts", func(ctx context.Context, c *client) (string, error) {
		args := map[string]string{"name": "Ada", "tone": "formal"}
		result, err := c.GetPrompt(ctx, &mcp.GetPromptParams{Name: "greet", Arguments: args})
		if err != nil {
			return "", err
		}
		said, err := textOf([]mcp.Content{result.Messages[0].Content})
		return expect(said, err, strings.Contains, "formal greeting to Ada")
	}},
	{"complete", func(ctx context.Context, c *client) (string, error) {
		ref := &mcp.CompleteReference{Type: "ref/prompt", Name: "greet"}
		argument := mcp.CompleteParamsArgument{Name: "language", Value: "F"}
		result, err := c.Complete(ctx, &mcp.CompleteParams{Ref: ref, Argument: argument})
		if err != nil {
			return "", err
		}
		return expect(strings.Join(result.Completion.Values, ", "), nil, equal, "Finnish, French")
	}},
	{"elicitation", func(ctx context.Context, c *client) (string, error) {
		said, err := c.says(ctx, "book_table", map[string]any{"restaurant": "Noma"})
		return expect(said, err, strings.Contains, "table for 4 at Noma on 2026-08-01")
	}},
	{"sampling", func(ctx context.Context, c *client) (string, error) {
		said, err := c.says(ctx, "ask_model", map[string]any{"question": "What is red?"})
		return expect(said, err, equal, "The model says: I heard: What is red?")
	}},
	{"roots", func(ctx context.Context, c *client) (string, error) {
		said, err := c.says(ctx, "show_roots", nil)
		return expect(said, err, equal, "file:///home/ada/one, file:///home/ada/two")
	}},
	{"cancellation", cancellation},
	{"changes of lists and resources", changes},
}

func pagination(ctx context.Context, c *client) (string, error) {
	tools, prompts, pages := map[string]bool{}, map[string]bool{}, 0
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		page, err := c.ListTools(ctx, &mcp.ListToolsParams{Cursor: cursor})
		if err != nil {
			return "", err
		}
		for _, tool := range page.Tools {
			if tools[tool.Name] {
				return "", fmt.Errorf("%s twice", tool.Name)
			}
			tools[tool.Name] = true
		}
		cursor = page.NextCursor
	}
	for cursor, first := "", true; first || cursor != ""; first, pages = false, pages+1 {
		page, err := c.ListPrompts(ctx, &mcp.ListPromptsParams{Cursor: cursor})
		if err != nil {
			return "", err
		}
		for _, prompt := range page.Prompts {
			prompts[prompt.Name] = true
		}
		cursor = page.NextCursor
	}
	if pages <= 2 || !reflect.DeepEqual(prompts, map[string]bool{"greet": true, "explain_demo": true}) {
		return "", fmt.Errorf("%d pages; prompts %v", pages, prompts)
	}
	return fmt.Sprintf("%d tools and %d prompts on %d pages", len(tools), len(prompts), pages), nil
}

func progress(ctx context.Context, c *client) (string, error) {
	params := &mcp.CallToolParams{Name: "countdown", Arguments: map[string]any{"pause_ms": 20}}
	params.SetProgressToken("count")
	result, err := c.CallTool(ctx, params)
	if err != nil {
		return "", err
	}
	said, err := textOf(result.Content)
	if _, err = expect(said, err, equal, "Counted down from 10."); err != nil {
		return "", err
	}
	c.until(2*time.Second, func(h *heard) bool { return len(h.progress) >= 11 })
	c.heard.Lock()
	defer c.heard.Unlock()
	for at, note := range c.heard.progress {
		if note.Progress != float64(at) || note.Total != 10 || note.ProgressToken != "count" {
			return "", fmt.Errorf("%dth notification: %+v", at, note)
		}
	}
	if len(c.heard.progress) != 11 || c.heard.progress[10].Message != "lift-off" {
		return "", fmt.Errorf("%d notifications", len(c.heard.progress))
	}
	return "11 notifications", nil
}

func logMessages(ctx context.Context, c *client) (string, error) {
	params := &mcp.CallToolParams{Name: "chatter"}
	if c.modern {
		params.Meta = mcp.Meta{mcp.MetaKeyLogLevel: "notice"}
	} else if err := c.SetLoggingLevel(ctx, &mcp.SetLoggingLevelParams{Level: "notice"}); err != nil {
		return "", err
	}
	if _, err := c.CallTool(ctx, params); err != nil {
		return "", err
	}
	c.until(2*time.Second, func(h *heard) bool { return len(h.levels) >= len(levels) })
	c.heard.Lock()
	defer c.heard.Unlock()
	if !slices.Equal(c.heard.levels, levels) {
		return "", fmt.Errorf("levels %v", c.heard.levels)
	}
	return fmt.Sprintf("%d messages from level notice on", len(levels)), nil
}

func cancellation(ctx context.Context, c *client) (string, error) {
	count := func() (int, error) {
		said, err := c.read(ctx, "demo://naps")
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.Fields(said)[0])
	}
	before, err := count()
	if err != nil {
		return "", err
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := c.call(short, "nap", map[string]any{"seconds": 30}); err == nil {
		return "", errors.New("it was not cancelled")
	}
	for range 100 {
		if now, err := count(); err != nil || now == before+1 {
			return "the server counts one more nap that was broken off", err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", errors.New("the server counts no more naps")
}

func changes(ctx context.Context, c *client) (string, error) {
	words := "from Go " + time.Now().String()
	if err := c.Subscribe(ctx, &mcp.SubscribeParams{URI: notice}); err != nil {
		return "", err
	}
	c.until(0, func(h *heard) bool { h.tools, h.notice = false, false; return true })
	defer c.call(ctx, "surprise", map[string]any{"show": false})
	if _, err := c.call(ctx, "surprise", map[string]any{"show": true}); err != nil {
		return "", err
	}
	if _, err := c.call(ctx, "post_notice", map[string]any{"text": words}); err != nil {
		return "", err
	}
	if !c.until(limit/2, func(h *heard) bool { return h.tools && h.notice }) {
		return "", fmt.Errorf("heard of tools: %v, of the notice: %v", c.heard.tools, c.heard.notice)
	}
	if err := c.Unsubscribe(ctx, &mcp.UnsubscribeParams{URI: notice}); err != nil {
		return "", err
	}
	said, err := c.read(ctx, notice)
	_, err = expect(said, err, equal, words)
	return "list changed, resource updated", err
}

func options(heard *heard) *mcp.ClientOptions {
	note := func(change func()) {
		heard.Lock()
		defer heard.Unlock()
		change()
	}
	return &mcp.ClientOptions{
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			if !strings.Contains(req.Params.Message, "expect you") {
				return nil, fmt.Errorf("unexpected: %s", req.Params.Message)
			}
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"date": "2026-08-01", "guests": 4}}, nil
		},
		CreateMessageHandler: func(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			said, err := textOf([]mcp.Content{req.Params.Messages[0].Content})
			content := &mcp.TextContent{Text: "I heard: " + said}
			return &mcp.CreateMessageResult{Role: "assistant", Model: "interop-model", Content: content}, err
		},
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			note(func() { heard.progress = append(heard.progress, req.Params) })
		},
		LoggingMessageHandler: func(_ context.Context, req *mcp.LoggingMessageRequest) {
			note(func() { heard.levels = append(heard.levels, string(req.Params.Level)) })
		},
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {
			note(func() { heard.tools = true })
		},
		ResourceUpdatedHandler: func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) {
			note(func() { heard.notice = heard.notice || req.Params.URI == notice })
		},
	}
}

func main() {
	if len(os.Args) < 4 {
		log.Fatal(usage)
	}
	var transport mcp.Transport
	switch os.Args[2] {
	case "http":
		transport = &mcp.StreamableClientTransport{Endpoint: os.Args[3]}
	case "stdio":
		transport = &mcp.CommandTransport{Command: exec.Command(os.Args[3], os.Args[4:]...)}
	default:
		log.Fatal(usage)
	}
	modern := os.Args[1] == "modern"
	// Without a version it asks `server/discover` first and falls back to the old handshake: it must not have to.
	session := &mcp.ClientSessionOptions{}
	switch era := os.Args[1]; era {
	case "modern":
	case "legacy":
		session.ProtocolVersion = "2025-11-25"
	default:
		session.ProtocolVersion = era
	}
	heard := &heard{}
	ours := mcp.NewClient(&mcp.Implementation{Name: "interop-go", Version: "1.0.0"}, options(heard))
	ours.AddRoots(roots...)
	connected, err := ours.Connect(context.Background(), transport, session)
	if err != nil {
		log.Fatal(err)
	}
	for _, check := range checks {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		says, err := check.work(ctx, &client{connected, modern, session.ProtocolVersion, heard})
		cancel()
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			says = err.Error()
		}
		line, _ := json.Marshal(map[string]any{"check": check.name, "ok": err == nil, "says": says})
		fmt.Println(string(line))
	}
	if err := connected.Close(); err != nil {
		log.Fatal(err)
	}
}
