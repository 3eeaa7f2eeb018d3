"""From a URL to a server that answers: links, blocking and asyncio, and the embedded server."""
