"""One suite for every lease store: who gets the lease, who keeps it, and what comes too late."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leases import LeaseArena

LEASE = timedelta(seconds=60)


class TestAcquiring:
    async def test_a_free_lease_is_given(self, arena: LeaseArena) -> None:
        store = arena.store()
        assert await store.holder() is None

        assert await store.acquire("a", 1, LEASE)

        assert await store.holder() == "a"

    async def test_a_lease_that_is_held_is_not_given_to_another(self, arena: LeaseArena) -> None:
        first, second = arena.store(), arena.store()
        await first.acquire("a", 1, LEASE)

        assert not await second.acquire("b", 7, LEASE)

        assert await second.holder() == "a"

    async def test_of_many_who_ask_at_once_one_gets_it(self, arena: LeaseArena) -> None:
        stores = [arena.store() for _ in range(8)]

        got = await asyncio.gather(*(store.acquire(str(n), 1, LEASE) for n, store in enumerate(stores)))

        assert got.count(True) == 1
        assert await stores[0].holder() == str(got.index(True))

    async def test_a_lease_that_has_run_out_is_given_to_the_next(self, arena: LeaseArena) -> None:
        first, second = arena.store(), arena.store()
        await first.acquire("a", 1, LEASE)
        await arena.advance(59)
        assert not await second.acquire("b", 1, LEASE)

        await arena.advance(1.5)

        assert await second.holder() is None
        assert await second.acquire("b", 1, LEASE)
        assert await second.holder() == "b"

    async def test_it_lasts_as_long_as_it_was_taken_for(self, arena: LeaseArena) -> None:
        store = arena.store()
        await store.acquire("a", 1, timedelta(seconds=300))

        await arena.advance(290)

        assert await store.holder() == "a"

    async def test_an_instance_takes_its_own_lease_again_by_a_newer_token(self, arena: LeaseArena) -> None:
        store = arena.store()
        await store.acquire("a", 1, LEASE)

        assert await store.acquire("a", 2, LEASE)

        assert not await store.renew("a", 1, LEASE)
        assert await store.renew("a", 2, LEASE)

    async def test_an_acquisition_that_arrives_late_changes_nothing(self, arena: LeaseArena) -> None:
        store = arena.store()
        await store.acquire("a", 2, LEASE)

        assert not await store.acquire("a", 1, LEASE)
        assert not await store.acquire("a", 2, LEASE)

        assert await store.renew("a", 2, LEASE)


class TestRenewing:
    async def test_a_renewal_lasts_from_then_on(self, arena: LeaseArena) -> None:
        first, second = arena.store(), arena.store()
        await first.acquire("a", 1, LEASE)
        await arena.advance(50)

        assert await first.renew("a", 1, LEASE)

        await arena.advance(50)
        assert not await second.acquire("b", 1, LEASE)
        await arena.advance(11)
        assert await second.acquire("b", 1, LEASE)

    async def test_what_another_holds_cannot_be_renewed(self, arena: LeaseArena) -> None:
        first, second = arena.store(), arena.store()
        await first.acquire("a", 1, LEASE)
        await arena.advance(61)
        await second.acquire("b", 1, LEASE)

        assert not await first.renew("a", 1, LEASE)

        assert await second.holder() == "b"

    async def test_what_nobody_ever_held_cannot_be_renewed(self, arena: LeaseArena) -> None:
        assert not await arena.store().renew("a", 1, LEASE)

    async def test_after_a_loss_of_the_store_nothing_is_renewed_and_anybody_may_have_it(
        self, arena: LeaseArena
    ) -> None:
        first, second = arena.store(), arena.store()
        await first.acquire("a", 1, LEASE)

        await arena.wipe()

        assert not await first.renew("a", 1, LEASE)
        assert await second.acquire("b", 1, LEASE)
        assert not await first.renew("a", 1, LEASE)


class TestReleasing:
    async def test_what_is_released_is_free_at_once(self, arena: LeaseArena) -> None:
        first, second = arena.store(), arena.store()
        await first.acquire("a", 1, LEASE)

        assert await first.release("a", 1)

        assert await second.holder() is None
        assert await second.acquire("b", 1, LEASE)

    async def test_nobody_releases_what_another_holds(self, arena: LeaseArena) -> None:
        first, second = arena.store(), arena.store()
        await first.acquire("a", 1, LEASE)

        assert not await second.release("b", 9)

        assert await second.holder() == "a"

    async def test_a_release_that_arrives_late_changes_nothing(self, arena: LeaseArena) -> None:
        store = arena.store()
        await store.acquire("a", 1, LEASE)
        await store.acquire("a", 2, LEASE)

        assert not await store.release("a", 1)

        assert await store.holder() == "a"
        assert await store.release("a", 3)
        assert await store.holder() is None

    async def test_there_may_be_nothing_to_release(self, arena: LeaseArena) -> None:
        store = arena.store()
        assert not await store.release("a", 1)
        await store.acquire("a", 1, LEASE)
        await store.release("a", 1)

        assert not await store.release("a", 1)
