-- taken: a task is handed out.
-- Needs: call, drawn_key, draws_key, draw_count
-- Gives: taken
local function taken(id)
  draw_count = draw_count + 1
  call('ZADD', drawn_key, string.format('%.0f', draw_count), id)
  call('HSET', draws_key, 'count', string.format('%.0f', draw_count))
  return true
end
