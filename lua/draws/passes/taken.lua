-- taken: a task is handed out in this pass; false: it has been, by another call, after this one's caller chose it.
-- Needs: call, handed_out, current_pass, left_count, prepare_picks
-- Gives: taken
local function taken(id)
  prepare_picks()
  if tonumber(call('ZSCORE', handed_out, id) or 0) >= current_pass then
    return false
  end
  call('ZADD', handed_out, string.format('%.0f', current_pass), id)
  left_count = left_count - 1
  return true
end
