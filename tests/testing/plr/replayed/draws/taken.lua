-- taken: a task is handed out.
-- Needs: call, drawn_key, draws_key, draws
-- Gives: taken
local function taken(id)
  draws = draws + 1
  call('ZADD', drawn_key, string.format('%.0f', draws), id)
  call('HSET', draws_key, 'count', string.format('%.0f', draws))
  return true
end
