-- reserve: set indices aside, for which the caller makes tasks while nobody waits. Its earlier reservation ends.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] count int how many at most
-- ARGV[6] purpose str replace: in place of tasks to be evicted; fill: as many as the pool lacks and nobody makes
-- ARGV[7] again int the first of `count` indices that were reserved before the server lost that; or empty
-- ARGV[8] most int how many indices there are; 0: any number
-- Returns [repeated, first, count, missing, complete]: count 0: there is nothing to reserve; missing: how many tasks the pool
--   lacks; complete 1: every index has had its task, and nobody makes one
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first
-- Atomic. O(workers that make tasks). What a worker has been making for three seconds others may make too.

--@include keys
--@include clock
--@include guard
--@include hypers
--@include reservations
local all = call('ZCARD', pool .. 'fresh') + call('ZCARD', pool .. 'learning') + call('ZCARD', pool .. 'ripe')
local missing, reservations = math.max(0, num_active_tasks - all), load_reservations()
if repeated then
  for _, r in ipairs(reservations) do
    if r.worker == worker and r.number == sequence then
      return { 1, r.at, r.count, missing, 0 }
    end
  end
  return { 1, 0, 0, missing, 0 }
end

-- Whether that life of a worker still holds its lease: the lives of a name differ in the upper bits of their numbers.
local function is_alive(r)
  local seen = r.worker ~= worker and call('HGET', prefix .. 'worker:' .. r.worker, 'sequence')
  return seen and math.floor(seen / 2 ^ 32) == math.floor(r.number / 2 ^ 32)
end

local function free_range(at, size)
  return { worker = '*', number = '0', fills = '0', since = 0, at = at, count = size }
end

-- Of the ranges that nobody holds the lowest; the last one has never been held. For a replay the one that has it all.
local behind_last = most == '0' and 2 ^ 53 or tonumber(most)
local next_index = whole_number(meta_key, 'next_index', call('HGET', meta_key, 'next_index'))
local unused = free_range(next_index, math.max(0, behind_last - next_index))
local now, made_elsewhere, is_held, found = now_ms(), 0, false, nil
local at, wish = tonumber(again), tonumber(count)
local function consider(range)
  local fits = not at or range.at <= at and at + wish <= range.at + range.count
  if range.count > 0 and fits and (not found or range.at < found.at) then
    found = range
  end
end
for _, r in ipairs(reservations) do
  if r.worker ~= '*' and is_alive(r) then
    is_held = true
    made_elsewhere = made_elsewhere + (r.fills == '1' and now < r.since + 3000 and r.count or 0)
  else
    r.worker, r.number, r.fills, r.since = '*', '0', '0', 0
    consider(r)
  end
end
consider(unused)
if purpose == 'fill' and not at then
  wish = math.min(wish, missing - made_elsewhere)
end
local answer = { 0, 0, 0, missing, not (found or is_held) and 1 or 0 }
if found and wish > 0 then
  at = at or found.at
  wish = math.min(wish, found.at + found.count - at)
  local behind = at + wish
  if found == unused then
    call('HSET', meta_key, 'next_index', behind)
    reservations[#reservations + 1] = free_range(found.at, at - found.at)
  else
    reservations[#reservations + 1] = free_range(behind, found.at + found.count - behind)
    found.count = at - found.at
  end
  reservations[#reservations + 1] =
    { worker = worker, number = sequence, fills = purpose == 'fill' and '1' or '0', since = now, at = at, count = wish }
  answer = { 0, at, wish, missing, 0 }
end
store_reservations(reservations)
call('HSET', worker_key, 'sequence', sequence)
return answer
