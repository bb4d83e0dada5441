"""Blocks are handed out once, shared by digest, and forgotten longest unused first."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from workers.llm.scheduling.blocks import BlockAllocator, extend_digests

SIZE = 4


def digests_of(token_ids: list[int]) -> list[bytes]:
    digests: list[bytes] = []
    extend_digests(digests, token_ids, SIZE)
    return digests


def test_digests_stand_for_all_before_them() -> None:
    first = digests_of([*range(11)])
    assert len(first) == 2
    assert digests_of([*range(8)]) == first
    assert digests_of([0, 1, 2, 9, 4, 5, 6, 7])[1] != first[1]
    grown: list[bytes] = []
    for end in range(12):
        extend_digests(grown, [*range(end)], SIZE)
    assert grown == first
    assert digests_of([3]) == []


def test_a_kept_block_is_shared_and_found_after_all_have_gone() -> None:
    allocator, digests = BlockAllocator(4), digests_of([*range(12)])
    blocks = allocator.allocate(3)
    for block, digest in zip(blocks, digests, strict=True):
        allocator.keep(block, digest)
    assert allocator.share(digests[:2]) == blocks[:2]
    allocator.free(blocks)
    assert allocator.num_free == 2
    allocator.free(blocks[:2])
    assert (allocator.num_free, allocator.usage) == (4, 0)
    assert allocator.share(digests) == blocks


def test_the_end_of_the_longest_unused_goes_first() -> None:
    allocator = BlockAllocator(4)
    old, new = digests_of([*range(8)]), digests_of([*range(50, 58)])
    for digests in (old, new):
        blocks = allocator.allocate(2)
        for block, digest in zip(blocks, digests, strict=True):
            allocator.keep(block, digest)
        allocator.free(blocks)
    (taken,) = allocator.allocate(1)
    found = allocator.share(old)
    assert len(found) == 1
    assert taken not in found
    assert len(allocator.share(new)) == 2


def test_a_second_block_of_the_same_is_not_found() -> None:
    allocator, (digest,) = BlockAllocator(2), digests_of([*range(4)])
    first, second = allocator.allocate(2)
    allocator.keep(first, digest)
    allocator.keep(second, digest)
    allocator.free([first, second])
    assert allocator.share([digest]) == [first]
    assert allocator.allocate(1) == [second]


def test_what_is_forgotten_is_found_no_more_but_what_others_have_is() -> None:
    allocator, digests = BlockAllocator(3), digests_of([*range(8)])
    blocks = allocator.allocate(2)
    for block, digest in zip(blocks, digests, strict=True):
        allocator.keep(block, digest)
    allocator.share(digests[:1])
    assert allocator.forget(blocks) == blocks[1:]
    assert allocator.share(digests) == blocks[:1]


@given(st.lists(st.tuples(st.sampled_from("asfk"), st.integers(0, 9)), max_size=80))
def test_no_block_is_handed_out_twice(moves: list[tuple[str, int]]) -> None:
    allocator, digests = BlockAllocator(6), digests_of([*range(40)])
    holders: list[list[int]] = []
    for move, number in moves:
        if move == "a" and number <= allocator.num_free:
            fresh = allocator.allocate(number)
            assert not set(fresh) & {block for blocks in holders for block in blocks}
            holders.append(fresh)
        elif move == "s":
            holders.append(allocator.share(digests[number:]))
        elif move == "k" and holders and holders[-1]:
            allocator.keep(holders[-1][0], digests[number])
        elif move == "f" and holders:
            allocator.free(holders.pop(number % len(holders)))
        held = Counter(block for blocks in holders for block in blocks)
        assert allocator.num_free == 6 - len(held)
    for blocks in holders:
        allocator.free(blocks)
    assert allocator.num_free == 6
    assert sorted(allocator.allocate(6)) == [*range(6)]
