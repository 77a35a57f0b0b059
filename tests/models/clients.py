"""What people do in their steps with the clients that they already have, on a twin in the loop."""

from fanwise import step
from fanwise.models import Price
from fanwise.testing import twin as twins

GPT, CLAUDE = "gpt-4o-2024-08-06", "claude-sonnet-4-6"
LAW = twins.Law(first=0.5, per_second=50, jitter=0.3)
PRICES = {
    GPT: twins.Price("2.5", "10", cached="1.25"),
    CLAUDE: twins.Price("3", "15"),
}
OURS = {
    GPT: Price(input="2.5", output="10", cached="1.25", batch="0.5"),
    CLAUDE: Price(input=3, output=15, cached="0.3", written="3.75", written_hour=6, batch="0.5"),
}


def user(text):
    return [{"role": "user", "content": text}]


class Steps:
    """Steps that use the official clients and say nothing of usage."""

    def __init__(self, by, **policy):
        self.by = by

        @step(name="chat", key=str, **policy)
        async def chat(text, **more):
            return await by.openai.chat.completions.create(model=GPT, messages=user(text), **more)

        @step(name="respond", key=str, **policy)
        async def respond(text, **more):
            return await by.openai.responses.create(model=GPT, input=text, **more)

        @step(name="message", key=str, **policy)
        async def message(text, max_tokens=4000, **more):
            return await by.anthropic.messages.create(
                model=CLAUDE, messages=user(text), max_tokens=max_tokens, **more
            )

        @step(name="chat_pieces", key=str, **policy)
        async def chat_pieces(text, **more):
            stream = await by.openai.chat.completions.create(
                model=GPT, messages=user(text), stream=True, **more
            )
            async with stream:
                async for chunk in stream:
                    yield chunk

        @step(name="respond_pieces", key=str, **policy)
        async def respond_pieces(text, **more):
            stream = await by.openai.responses.create(model=GPT, input=text, stream=True, **more)
            async with stream:
                async for event in stream:
                    yield event

        @step(name="message_pieces", key=str, **policy)
        async def message_pieces(text, max_tokens=4000, **more):
            stream = await by.anthropic.messages.create(
                model=CLAUDE, messages=user(text), stream=True, max_tokens=max_tokens, **more
            )
            async with stream:
                async for event in stream:
                    yield event

        self.whole = (chat, respond, message)
        self.pieces = (chat_pieces, respond_pieces, message_pieces)
