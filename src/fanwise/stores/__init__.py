"""Stores: where what processes share rests. Limits over Redis, and their twin in memory."""
