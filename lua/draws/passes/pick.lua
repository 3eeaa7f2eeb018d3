-- pick: each task once, in random order, then again (_sampling/passes.py). A task's number in `handed_out` is the pass in which
-- it was handed out last, so the tasks that are left stand first.
-- Needs: call, pool, index, malformed
-- Gives: is_spent, pick, prepare_picks, handed_out, current_pass, left_count
local handed_out, state = pool .. 'own_tasks:handed_out', pool .. 'own_pool:pass'
local is_spent = false
local stored = call('HGET', state, 'number')
local current_pass, left_count = tonumber(stored or '1'), 0
if not current_pass or current_pass < 1 or current_pass >= 2 ^ 53 or current_pass % 1 ~= 0 then
  malformed(state, 'number', stored)
end

local function begin_pass(number)
  current_pass, stored = number, string.format('%.0f', number)
  call('HSET', state, 'number', stored)
end

local function count_left()
  left_count = call('ZCOUNT', handed_out, '-inf', string.format('(%.0f', current_pass))
end

-- After it some are left: if there are none in this pass, the next one begins.
local function prepare_picks()
  if not stored then
    begin_pass(1)
  end
  if left_count == 0 then
    count_left()
  end
  if left_count == 0 then
    begin_pass(current_pass + 1)
    count_left()
  end
end

local function pick()
  prepare_picks()
  local place = string.format('%d', index(math.max(left_count, 1)))
  return call('ZRANGE', handed_out, place, place)[1]
end
