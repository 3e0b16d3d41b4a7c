"""Clients of a service far away: pure conversations, and a plain and an asyncio shell for them."""
