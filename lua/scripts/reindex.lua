-- reindex: one step of building the indices anew, after a change of settings that they depend on.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- Returns 1 where more is to be done, else 0
-- Errors RCSTALE generation: a restore replaced it; RCTYPE key: something else stands at one of our keys
-- Atomic. At most 100 tasks. Whoever calls goes on where the last call has stopped; until the end no worker writes (guard).

--@include reader
--@include malformed
local unindexed = call('HGET', meta_key, 'unindexed')
if not unindexed then
  return 0
end
local PHASES = { start = true, fresh = true, learning = true, ripe = true, surplus = true }
local phase, cursor, surplus = string.match(unindexed, '^(%l+) (%d+) ?(%d*)$') -- an older build had no third word
if not PHASES[phase or ''] or #cursor > 15 or #surplus > 15 then
  malformed(meta_key, 'unindexed', unindexed)
end
surplus = surplus == '' and 0 or surplus
local TASKS, REMOVED = 100, 50
local meta = call('HMGET', meta_key, 'generation', 'epoch', 'snapshot')
--@include stored_hypers
--@include rebuild
--@include rebuilt
--@include surplus
local FOLLOWING = { fresh = 'learning', learning = 'ripe', ripe = 'surplus' }

local function go_on(next_phase, next_cursor)
  call('HSET', meta_key, 'unindexed', string.format('%s %.0f %.0f', next_phase, next_cursor, surplus))
  return 1
end

if phase == 'start' then
  index_clear()
  for _, name in ipairs({ 'fresh', 'learning', 'ripe', 'labels' }) do
    call('UNLINK', pool .. 'reindexed:' .. name)
  end
  return go_on('fresh', 0)
elseif phase ~= 'surplus' then
  local part = phase
  local ids = call('ZRANGE', pool .. part, cursor, cursor + TASKS - 1)
  rebuild_tasks(ids)
  if #ids == TASKS then
    return go_on(part, cursor + TASKS)
  elseif part == 'ripe' then
    exchange_parts()
  end
  return go_on(FOLLOWING[part], 0)
else
  surplus = remove_surplus(tonumber(surplus), REMOVED)
  if surplus > 0 then
    return go_on('surplus', 0)
  end
end
call('HDEL', meta_key, 'unindexed')
return 0
