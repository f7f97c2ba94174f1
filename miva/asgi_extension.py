"""An extension of ASGI's WebSocket messages: many text frames in one message.

A server that knows it names it in `scope["extensions"]`; it then takes `{"type": SEND_TEXTS, "texts": [...]}` as it
takes a `websocket.send` for each text, in order. `miva.uvicorn_protocol` does; other servers are sent single messages.
"""

SEND_TEXTS = "miva.websocket.send_texts"
