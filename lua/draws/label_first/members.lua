-- members: a label's tasks as the draws know them.
-- Needs: call, pool
-- Gives: index_holds, index_member

-- Returns a task's score among a label's; false: it is not there. It should be '0'.
local function index_holds(id, label)
  return call('ZSCORE', pool .. 'members:' .. label, id)
end

local function index_member(id, label, is_one)
  if is_one then
    call('ZADD', pool .. 'members:' .. label, 0, id)
  else
    call('ZREM', pool .. 'members:' .. label, id)
  end
end
