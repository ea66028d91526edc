// A server on the Go SDK, for both eras; the tour is in ../../README.md. usage: server http PORT | stdio
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	notice = "demo://notice"
	key    = "answer"
	usage  = "usage: server http PORT | stdio"
)

var (
	languages = []string{"Danish", "English", "Finnish", "French", "German"}
	capitals  = map[string]string{"denmark": "Copenhagen", "finland": "Helsinki", "france": "Paris", "norway": "Oslo"}
	levels    = []mcp.LoggingLevel{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}
)

// shared is the state shared by all connections of the process.
var shared = struct {
	sync.Mutex
	notice    string
	brokenOff int
}{notice: "Nothing to announce."}

type (
	none struct{}
	echo struct {
		Text string `json:"text"`
	}
	addends struct {
		A int `json:"a"`
		B int `json:"b"`
	}
	sum struct {
		Sum int `json:"sum"`
	}
	failing struct {
		Reason string `json:"reason,omitempty"`
		Kind   string `json:"kind,omitempty"`
	}
	countdown struct {
		PauseMs int `json:"pause_ms,omitempty"`
	}
	nap struct {
		Seconds float64 `json:"seconds"`
	}
	booking struct {
		Restaurant string `json:"restaurant"`
	}
	asking struct {
		Question string `json:"question"`
	}
	surprise struct {
		Show bool `json:"show"`
	}
)

func text(format string, args ...any) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprintf(format, args...)}}}
}

// tool adds a tool without structured output.
func tool[In any](server *mcp.Server, name, about string, does func(context.Context, *mcp.CallToolRequest, In) (*mcp.CallToolResult, error)) {
	handler := func(ctx context.Context, req *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		result, err := does(ctx, req, in)
		return result, nil, err
	}
	mcp.AddTool(server, &mcp.Tool{Name: name, Description: about}, handler)
}

// ask returns the answer of the client, or the result that requests it. The SDK sends requests to legacy clients itself.
func ask[Answer mcp.InputResponse](req *mcp.CallToolRequest, question mcp.InputRequest, then func(Answer) *mcp.CallToolResult) (*mcp.CallToolResult, error) {
	if answer, ok := req.Params.InputResponses[key].(Answer); ok {
		return then(answer), nil
	}
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{key: question}}, nil
}

func addTools(server *mcp.Server) {
	whoami(server)
	tool(server, "echo", "Returns its argument", func(_ context.Context, _ *mcp.CallToolRequest, in echo) (*mcp.CallToolResult, error) {
		return text("%s", in.Text), nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "add", Description: "Adds two whole numbers"},
		func(_ context.Context, _ *mcp.CallToolRequest, in addends) (*mcp.CallToolResult, sum, error) {
			return nil, sum{in.A + in.B}, nil
		})
	tool(server, "fail", "Fails", func(_ context.Context, _ *mcp.CallToolRequest, in failing) (*mcp.CallToolResult, error) {
		if in.Kind == "protocol" {
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: in.Reason}
		}
		return nil, fmt.Errorf("This tool failed: %s", in.Reason)
	})
	tool(server, "countdown", "Counts down and reports its progress", countDown)
	tool(server, "chatter", "Sends a log message of every level", func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, error) {
		for _, level := range levels {
			params := &mcp.LoggingMessageParams{Level: level, Logger: "chatter", Data: fmt.Sprintf("this is a message of level %s", level)}
			if err := req.Session.Log(ctx, params); err != nil {
				return nil, err
			}
		}
		return text("Said everything there is to say."), nil
	})
	tool(server, "nap", "Sleeps", func(ctx context.Context, _ *mcp.CallToolRequest, in nap) (*mcp.CallToolResult, error) {
		select {
		case <-time.After(time.Duration(in.Seconds * float64(time.Second))):
			return text("Slept for %v s.", in.Seconds), nil
		case <-ctx.Done():
			shared.Lock()
			defer shared.Unlock()
			shared.brokenOff++
			return nil, ctx.Err()
		}
	})
	tool(server, "surprise", "Changes the list of tools", func(context.Context, *mcp.CallToolRequest, surprise) (*mcp.CallToolResult, error) {
		return text("Listeners are notified anyway."), nil
	})
	tool(server, "post_notice", "Changes the notice", func(_ context.Context, _ *mcp.CallToolRequest, in echo) (*mcp.CallToolResult, error) {
		shared.Lock()
		defer shared.Unlock()
		shared.notice = in.Text
		return text("Posted at %s.", notice), nil
	})
	addQuestions(server)
}

// whoami is added repeatedly, because this SDK sends list_changed only for an actual change.
func whoami(server *mcp.Server) {
	tool(server, "whoami", "Which replica answers", func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, error) {
		return text("replica go"), nil
	})
}

func countDown(ctx context.Context, req *mcp.CallToolRequest, in countdown) (*mcp.CallToolResult, error) {
	token := req.Params.GetProgressToken()
	for done := 0; done <= 10; done++ {
		params := &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(done), Total: 10, Message: fmt.Sprintf("%d to go", 10-done)}
		if done == 10 {
			params.Message = "lift-off"
		}
		if token != nil {
			if err := req.Session.NotifyProgress(ctx, params); err != nil {
				return nil, err
			}
		}
		time.Sleep(time.Duration(in.PauseMs) * time.Millisecond)
	}
	return text("Counted down from 10."), nil
}

func addQuestions(server *mcp.Server) {
	tool(server, "book_table", "Asks the user when and for how many", func(_ context.Context, req *mcp.CallToolRequest, in booking) (*mcp.CallToolResult, error) {
		form := &mcp.ElicitParams{
			Message: fmt.Sprintf("When and for how many shall %s expect you?", in.Restaurant),
			RequestedSchema: &jsonschema.Schema{
				Type:       "object",
				Properties: map[string]*jsonschema.Schema{"date": {Type: "string"}, "guests": {Type: "integer"}},
				Required:   []string{"date", "guests"},
			},
		}
		return ask(req, form, func(answer *mcp.ElicitResult) *mcp.CallToolResult {
			if answer.Action != "accept" {
				return text("Nothing was booked: %s.", answer.Action)
			}
			return text("A table for %v at %s on %v, inside.", answer.Content["guests"], in.Restaurant, answer.Content["date"])
		})
	})
	tool(server, "ask_model", "Asks the model of the client", func(_ context.Context, req *mcp.CallToolRequest, in asking) (*mcp.CallToolResult, error) {
		message := &mcp.SamplingMessage{Role: "user", Content: &mcp.TextContent{Text: in.Question}}
		params := &mcp.CreateMessageParams{MaxTokens: 100, Messages: []*mcp.SamplingMessage{message}}
		return ask(req, params, func(answer *mcp.CreateMessageWithToolsResult) *mcp.CallToolResult {
			return text("The model says: %s", answer.Content[0].(*mcp.TextContent).Text)
		})
	})
	tool(server, "show_roots", "Asks where the client works", func(_ context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, error) {
		return ask(req, &mcp.ListRootsParams{}, func(answer *mcp.ListRootsResult) *mcp.CallToolResult {
			var uris []string
			for _, root := range answer.Roots {
				uris = append(uris, root.URI)
			}
			return text("%s", strings.Join(uris, ", "))
		})
	})
}

func read(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	shared.Lock()
	defer shared.Unlock()
	output := map[string]string{notice: shared.notice, "demo://naps": fmt.Sprintf("%d naps were broken off.", shared.brokenOff)}
	for country, capital := range capitals {
		output["demo://capitals/"+country] = capital
	}
	found, ok := output[req.Params.URI]
	if !ok {
		return nil, mcp.ResourceNotFoundError(req.Params.URI)
	}
	contents := &mcp.ResourceContents{URI: req.Params.URI, MIMEType: "text/plain", Text: found}
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{contents}}, nil
}

func prompted(format string, args ...any) (*mcp.GetPromptResult, error) {
	message := &mcp.PromptMessage{Role: "user", Content: &mcp.TextContent{Text: fmt.Sprintf(format, args...)}}
	return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{message}}, nil
}

func addPrompts(server *mcp.Server) {
	arguments := []*mcp.PromptArgument{{Name: "name", Required: true}, {Name: "language"}, {Name: "tone"}}
	greet := &mcp.Prompt{Name: "greet", Description: "Has the model write a greeting", Arguments: arguments}
	server.AddPrompt(greet, func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		given := func(name, otherwise string) string {
			if value := req.Params.Arguments[name]; value != "" {
				return value
			}
			return otherwise
		}
		return prompted("Write a %s greeting to %s, in %s.", given("tone", "friendly"), given("name", ""), given("language", "English"))
	})
	explain := &mcp.Prompt{Name: "explain_demo", Description: "Explains this server"}
	server.AddPrompt(explain, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return prompted("Which of these tools should I try first?")
	})
}

func complete(_ context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
	words := languages
	if req.Params.Argument.Name == "country" {
		words = nil
		for country := range capitals {
			words = append(words, country)
		}
		slices.Sort(words)
	}
	found := []string{}
	for _, word := range words {
		if strings.HasPrefix(strings.ToLower(word), strings.ToLower(req.Params.Argument.Value)) {
			found = append(found, word)
		}
	}
	return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: found}}, nil
}

func main() {
	server := mcp.NewServer(&mcp.Implementation{Name: "interop-go", Version: "1.0.0"}, &mcp.ServerOptions{
		Instructions:       "A server of the interop run.",
		PageSize:           5,
		CompletionHandler:  complete,
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	addTools(server)
	addPrompts(server)
	for name, uri := range map[string]string{"notice": notice, "naps": "demo://naps"} {
		server.AddResource(&mcp.Resource{Name: name, URI: uri, MIMEType: "text/plain"}, read)
	}
	server.AddResourceTemplate(&mcp.ResourceTemplate{Name: "capital", URITemplate: "demo://capitals/{country}"}, read)
	// Notifies listeners of changes repeatedly.
	go func() {
		for range time.Tick(300 * time.Millisecond) {
			whoami(server)
			_ = server.ResourceUpdated(context.Background(), &mcp.ResourceUpdatedNotificationParams{URI: notice})
		}
	}()
	switch {
	case len(os.Args) == 3 && os.Args[1] == "http":
		// The handler of this SDK supports the modern era only without sessions, and then legacy clients have none either.
		one := func(*http.Request) *mcp.Server { return server }
		legacy := mcp.NewStreamableHTTPHandler(one, nil)
		modern := mcp.NewStreamableHTTPHandler(one, &mcp.StreamableHTTPOptions{Stateless: true})
		http.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Mcp-Protocol-Version") == "2026-07-28" {
				modern.ServeHTTP(w, r)
			} else {
				legacy.ServeHTTP(w, r)
			}
		})
		log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[2], nil))
	case len(os.Args) == 2 && os.Args[1] == "stdio":
		// Real servers log to standard error before they answer.
		fmt.Fprintln(os.Stderr, "interop-go is up")
		if err := server.Run(context.Background(), &mcp.StdioTransport{}); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatal(usage)
	}
}
