//! The edge: one endpoint in front of many MCP servers.
