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

// received holds the notifications received so far.
type received struct {
	sync.Mutex
	progress []*mcp.ProgressNotificationParams
	levels   []string
	tools    bool
	notice   bool
}

type client struct {
	*mcp.ClientSession
	modern   bool
	wanted   string
	received *received
}

// until waits for the notification handlers, which run concurrently with the call.
func (c *client) until(limit time.Duration, condition func(*received) bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		c.received.Lock()
		ok := condition(c.received)
		c.received.Unlock()
		if ok || time.Now().After(end) {
			return ok
		}
	}
}

func (c *client) call(ctx context.Context, name string, args map[string]any) (*mcp.CallToolResult, error) {
	if args == nil {
		// A nil map would be sent as `null`, which is not an object.
		args = map[string]any{}
	}
	return c.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: args})
}

// callText calls a tool and returns its text.
func (c *client) callText(ctx context.Context, name string, args map[string]any) (string, error) {
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

// expect compares a text with the expected one.
func expect(found string, err error, fits func(string, string) bool, wanted string) (string, error) {
	if err == nil && !fits(found, wanted) {
		err = fmt.Errorf("expected %q, found %q", wanted, found)
	}
	return found, err
}

func equal(found, wanted string) bool { return found == wanted }

// refused checks the code of a protocol error and returns it as text.
func refused(err error, wanted int64) (string, error) {
	var wire *jsonrpc.Error
	switch {
	case err == nil:
		return "", errors.New("it was not rejected")
	case !errors.As(err, &wire):
		return "", fmt.Errorf("not a protocol error: %w", err)
	case wire.Code != wanted:
		return "", fmt.Errorf("expected code %d, found %d", wanted, wire.Code)
	}
	return fmt.Sprintf("code %d", wire.Code), nil
}

// errAbsent is returned by a check of a feature that the era lacks.
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
		output, err := c.callText(ctx, "whoami", nil)
		return expect(output, err, strings.HasPrefix, "replica ")
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
		output, err := c.callText(ctx, "query", map[string]any{"region": "eu-süd 1", "text": "rain"})
		return expect(output, err, strings.HasPrefix, "rain asked in eu-süd 1")
	}},
	{"tool's own error", func(ctx context.Context, c *client) (string, error) {
		result, err := c.call(ctx, "fail", map[string]any{"reason": "on purpose"})
		if err != nil {
			return "", err
		}
		if !result.IsError {
			return "", errors.New("isError is not set")
		}
		output, err := textOf(result.Content)
		return expect(output, err, strings.Contains, "on purpose")
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
		output, err := c.read(ctx, "demo://capitals/norway")
		if output, err = expect(output, err, equal, "Oslo"); err != nil {
			return "", err
		}
		_, err = c.read(ctx, "demo://no-such-thing")
		wanted := int64(-32002)
		if c.modern {
			wanted = -32602
		}
		code, err := refused(err, wanted)
		return output + "; unknown: " + code, err
	}},
	{"get prompts", func(ctx context.Context, c *client) (string, error) {
		args := map[string]string{"name": "Ada", "tone": "formal"}
		result, err := c.GetPrompt(ctx, &mcp.GetPromptParams{Name: "greet", Arguments: args})
		if err != nil {
			return "", err
		}
		output, err := textOf([]mcp.Content{result.Messages[0].Content})
		return expect(output, err, strings.Contains, "formal greeting to Ada")
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
		output, err := c.callText(ctx, "book_table", map[string]any{"restaurant": "Noma"})
		return expect(output, err, strings.Contains, "table for 4 at Noma on 2026-08-01")
	}},
	{"sampling", func(ctx context.Context, c *client) (string, error) {
		output, err := c.callText(ctx, "ask_model", map[string]any{"question": "What is red?"})
		return expect(output, err, equal, "The model says: You asked: What is red?")
	}},
	{"roots", func(ctx context.Context, c *client) (string, error) {
		output, err := c.callText(ctx, "show_roots", nil)
		return expect(output, err, equal, "file:///home/ada/one, file:///home/ada/two")
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
	output, err := textOf(result.Content)
	if _, err = expect(output, err, equal, "Counted down from 10."); err != nil {
		return "", err
	}
	c.until(2*time.Second, func(h *received) bool { return len(h.progress) >= 11 })
	c.received.Lock()
	defer c.received.Unlock()
	for at, note := range c.received.progress {
		if note.Progress != float64(at) || note.Total != 10 || note.ProgressToken != "count" {
			return "", fmt.Errorf("%dth notification: %+v", at, note)
		}
	}
	if len(c.received.progress) != 11 || c.received.progress[10].Message != "lift-off" {
		return "", fmt.Errorf("%d notifications", len(c.received.progress))
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
	c.until(2*time.Second, func(h *received) bool { return len(h.levels) >= len(levels) })
	c.received.Lock()
	defer c.received.Unlock()
	if !slices.Equal(c.received.levels, levels) {
		return "", fmt.Errorf("levels %v", c.received.levels)
	}
	return fmt.Sprintf("%d messages from level notice on", len(levels)), nil
}

func cancellation(ctx context.Context, c *client) (string, error) {
	count := func() (int, error) {
		output, err := c.read(ctx, "demo://naps")
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.Fields(output)[0])
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
			return "the server counts one more interrupted nap", err
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
	c.until(0, func(h *received) bool { h.tools, h.notice = false, false; return true })
	defer c.call(ctx, "surprise", map[string]any{"show": false})
	if _, err := c.call(ctx, "surprise", map[string]any{"show": true}); err != nil {
		return "", err
	}
	if _, err := c.call(ctx, "post_notice", map[string]any{"text": words}); err != nil {
		return "", err
	}
	if !c.until(limit/2, func(h *received) bool { return h.tools && h.notice }) {
		return "", fmt.Errorf("notified of tools: %v, of the notice: %v", c.received.tools, c.received.notice)
	}
	if err := c.Unsubscribe(ctx, &mcp.UnsubscribeParams{URI: notice}); err != nil {
		return "", err
	}
	output, err := c.read(ctx, notice)
	_, err = expect(output, err, equal, words)
	return "list changed, resource updated", err
}

func options(received *received) *mcp.ClientOptions {
	note := func(change func()) {
		received.Lock()
		defer received.Unlock()
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
			output, err := textOf([]mcp.Content{req.Params.Messages[0].Content})
			content := &mcp.TextContent{Text: "You asked: " + output}
			return &mcp.CreateMessageResult{Role: "assistant", Model: "interop-model", Content: content}, err
		},
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			note(func() { received.progress = append(received.progress, req.Params) })
		},
		LoggingMessageHandler: func(_ context.Context, req *mcp.LoggingMessageRequest) {
			note(func() { received.levels = append(received.levels, string(req.Params.Level)) })
		},
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {
			note(func() { received.tools = true })
		},
		ResourceUpdatedHandler: func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) {
			note(func() { received.notice = received.notice || req.Params.URI == notice })
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
	// Without a version it tries `server/discover` first and falls back to the handshake, which must not be necessary.
	session := &mcp.ClientSessionOptions{}
	switch era := os.Args[1]; era {
	case "modern":
	case "legacy":
		session.ProtocolVersion = "2025-11-25"
	default:
		session.ProtocolVersion = era
	}
	received := &received{}
	ours := mcp.NewClient(&mcp.Implementation{Name: "interop-go", Version: "1.0.0"}, options(received))
	ours.AddRoots(roots...)
	connected, err := ours.Connect(context.Background(), transport, session)
	if err != nil {
		log.Fatal(err)
	}
	for _, check := range checks {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		detail, err := check.work(ctx, &client{connected, modern, session.ProtocolVersion, received})
		cancel()
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			detail = err.Error()
		}
		line, _ := json.Marshal(map[string]any{"check": check.name, "ok": err == nil, "detail": detail})
		fmt.Println(string(line))
	}
	if err := connected.Close(); err != nil {
		log.Fatal(err)
	}
}
