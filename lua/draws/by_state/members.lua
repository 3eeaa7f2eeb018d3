-- members: a task as the draws know it: by the cell of its state, with its weight as the score.
-- Needs: call, pool, weight, state, STATES, cell_at
-- Gives: index_holds, index_member

-- Returns '0' where a task stands in its cell, and in no other of its label; else false. Without its statistics: false.
local function index_holds(id, label, p)
  if not p then
    return false
  end
  for s = 0, STATES - 1 do
    local score = call('ZSCORE', pool .. 'cell:' .. cell_at(s, label), id)
    local right = s == state(p) and weight(p) or nil
    if (score and tonumber(score) or nil) ~= right then
      return false
    end
  end
  return '0'
end

-- The sums are put right once all tasks stand where they belong.
local function index_member(id, label, is_one, p)
  for s = 0, STATES - 1 do
    if is_one and s == state(p) then
      call('ZADD', pool .. 'cell:' .. cell_at(s, label), weight(p), id)
    else
      call('ZREM', pool .. 'cell:' .. cell_at(s, label), id)
    end
  end
end
