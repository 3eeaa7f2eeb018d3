-- place: the sorted set that a task belongs to by its completions, and its score there.
-- Needs: call, pool, fresh_until, ripe_from, rank
-- Gives: part_of, place_task
local function part_of(completions)
  return completions < fresh_until and 'fresh' or completions < ripe_from and 'learning' or 'ripe'
end

-- After `p.count` more results.
local function place_task(id, p)
  local part, part_before = part_of(p.completion_count), part_of(p.completion_count - p.count)
  local score = rank(p)
  if part ~= part_before then
    call('ZREM', pool .. part_before, id)
  elseif score == p.rank_before then
    return
  end
  call('ZADD', pool .. part, score, id)
end
