//! Tokens are never shown, nor kept.
