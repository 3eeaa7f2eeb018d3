"""The two handles, blocking and asyncio, and how one is opened."""
