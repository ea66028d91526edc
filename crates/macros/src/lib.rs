//! The attribute macros behind carryall's tools, prompts and resources.
