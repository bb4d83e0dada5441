"""The peer of `scripts/bench house`: FastAPI and sse-starlette, emitting chunks from memory."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


@app.post("/v1/completions")
async def completions(request: Request) -> EventSourceResponse:
    body = await request.json()
    return EventSourceResponse(chunks(body["prompt"].split(), body["max_tokens"], app.state.pace))


async def chunks(words: list[str], num_events: int, pace: float) -> AsyncIterator[str]:
    head = {"id": "cmpl-0123456789abcdef01234567", "object": "text_completion", "created": 1, "model": "echo"}
    due = time.monotonic()
    for i in range(num_events):
        if pace:
            due += 1 / pace
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        text = f" {time.monotonic():.6f}" if pace else f" {words[i % len(words)]}"
        yield json.dumps(
            head | {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": None}]}
        )
    yield "[DONE]"


if __name__ == "__main__":
    app.state.pace = float(sys.argv[2])
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning"
    )
