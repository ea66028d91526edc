// A small server on mcp-go. usage: server http PORT | stdio
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

type echoed struct {
	Text string `json:"text"`
}

type addends struct {
	A int `json:"a"`
	B int `json:"b"`
}

type place struct {
	Restaurant string `json:"restaurant"`
}

func main() {
	s := server.NewMCPServer("interop-mcp-go", "1.0.0", server.WithToolCapabilities(false), server.WithElicitation())
	s.AddTool(
		mcp.NewTool("echo", mcp.WithString("text", mcp.Required())),
		mcp.NewTypedToolHandler(func(_ context.Context, _ mcp.CallToolRequest, in echoed) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(in.Text), nil
		}),
	)
	s.AddTool(
		mcp.NewTool("add", mcp.WithInteger("a", mcp.Required()), mcp.WithInteger("b", mcp.Required())),
		mcp.NewTypedToolHandler(func(_ context.Context, _ mcp.CallToolRequest, in addends) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultStructured(map[string]int{"sum": in.A + in.B}, "summed"), nil
		}),
	)
	s.AddTool(
		mcp.NewTool("book_table", mcp.WithString("restaurant", mcp.Required())),
		mcp.NewTypedToolHandler(func(ctx context.Context, _ mcp.CallToolRequest, in place) (*mcp.CallToolResult, error) {
			question := mcp.ElicitationRequest{Params: mcp.ElicitationParams{
				Message: "When, at " + in.Restaurant + "?",
				RequestedSchema: map[string]any{
					"type": "object",
					"properties": map[string]any{
						"date":   map[string]any{"type": "string"},
						"guests": map[string]any{"type": "integer"},
					},
					"required": []string{"date", "guests"},
				},
			}}
			answer, err := s.RequestElicitation(ctx, question)
			if err != nil {
				return nil, err
			}
			content, _ := answer.Content.(map[string]any)
			if answer.Action != mcp.ElicitationResponseActionAccept {
				return mcp.NewToolResultText(fmt.Sprintf("Nothing was booked: %s", answer.Action)), nil
			}
			output := fmt.Sprintf("A table for %v at %s on %v.", content["guests"], in.Restaurant, content["date"])
			return mcp.NewToolResultText(output), nil
		}),
	)
	var err error
	if os.Args[1] == "http" {
		err = server.NewStreamableHTTPServer(s).Start("127.0.0.1:" + os.Args[2])
	} else {
		err = server.ServeStdio(s)
	}
	if err != nil {
		log.Fatal(err)
	}
}
