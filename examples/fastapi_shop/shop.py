"""A shop whose orders and messages are one commit: FastAPI, SQLAlchemy and Dovecote. See README.md."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dovecote import Dovecote, methods
from dovecote.errors import BotExists

BOT = "shop"
TOKEN_VARIABLE = "SHOP_BOT_TOKEN"  # its name: the token itself stays in the environment
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


def sessions_beside(outbox: Dovecote) -> async_sessionmaker[AsyncSession]:
    """Sessions on the database that the outbox is in."""
    url = make_url(outbox.settings.database.url)
    return async_sessionmaker(create_async_engine(url.set(drivername=DRIVERS[url.get_backend_name()])))


dovecote = Dovecote()  # by dovecote.toml and the DOVECOTE_* variables; without them, sqlite:///dovecote.db
sessions = sessions_beside(dovecote)


class Base(DeclarativeBase):
    """The shop's own tables, in the database that the outbox is in."""


class Order(Base):
    """What somebody has ordered. `chat_id` is the customer's chat with the bot."""

    __tablename__ = "customer_order"

    id: Mapped[int] = mapped_column(primary_key=True)
    chat_id: Mapped[int] = mapped_column(BigInteger)
    item: Mapped[str]
    shipped_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class NewOrder(BaseModel):
    """What a customer asks for."""

    chat_id: int
    item: str


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the outbox, the bot and the shop's tables where they are not there yet."""
    await dovecote.migrate()
    with suppress(BotExists):
        await dovecote.add_bot(BOT, token_variable=TOKEN_VARIABLE)
    async with sessions.begin() as session:
        await (await session.connection()).run_sync(Base.metadata.create_all)
    yield
    await dovecote.close()


async def transaction() -> AsyncIterator[AsyncSession]:
    """The transaction of a request: committed when the request is done, rolled back when it fails."""
    async with sessions.begin() as session:
        yield session


app = FastAPI(title="A shop", lifespan=lifespan)
# Committed before the answer is sent, so that whoever has the answer has the order.
Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]


@app.post("/orders", status_code=201)
async def place(new: NewOrder, session: Transaction) -> dict[str, int]:
    """Take an order, and tell the customer so."""
    order = Order(chat_id=new.chat_id, item=new.item)
    session.add(order)
    await session.flush()  # it has its number now
    text = f"We have your order {order.id}: {order.item}."
    await dovecote.enqueue(session, methods.message(BOT, order.chat_id, text, key=f"order-{order.id}-placed"))
    return {"id": order.id}


@app.post("/orders/{order_id}/ship")
async def ship(order_id: int, session: Transaction) -> dict[str, str]:
    """Ship an order. However often it is called, the customer is told once: the key says which message it is."""
    order = await session.get(Order, order_id)
    if order is None:
        raise HTTPException(404, f"there is no order {order_id}")
    order.shipped_at = order.shipped_at or datetime.now(UTC)
    text = f"Your order {order.id} is on its way."
    await dovecote.enqueue(session, methods.message(BOT, order.chat_id, text, key=f"order-{order.id}-shipped"))
    return {"state": "shipped"}
