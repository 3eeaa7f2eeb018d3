-- increase: count up, in hashes that hold a count of each label. All counts of a change go up before anything else of it is
-- written: where somebody has overwritten one, those before it go back, and the script ends.
-- Needs: call, malformed
-- Gives: increase, take_back, counted
local increased, increased_size = { '', '', '', '', '', '' }, 0 -- key, label and amount of each

-- What was counted goes back; returns the text of the error that is the reason.
local function take_back(said)
  for i = increased_size, 3, -3 do
    call('HINCRBY', increased[i - 2], increased[i - 1], string.format('%d', -increased[i]))
  end
  return type(said) == 'table' and said.err or said -- a text before Redis 7
end

local function increase(key, label, by)
  local done, said = pcall(call, 'HINCRBY', key, label, by)
  if done then
    local n = increased_size
    increased[n + 1], increased[n + 2], increased[n + 3], increased_size = key, label, by, n + 3
    return
  end
  said = take_back(said)
  if string.find(said, 'integer', 1, true) or string.find(said, 'overflow', 1, true) then
    malformed(key, label, call('HGET', key, label))
  end
  assert(false, said)
end

-- The change is made: what is counted from here on is another one.
local function counted()
  increased_size = 0
end
