-- batch_draws: add `draws` tasks to the `ids` of a batch; fewer, if after so many picks too few are others that are not passed
-- over.
-- Needs: store_random, drawn_lately, is_passed_over, ids, draws, hand_out
local seen, lately, left = {}, drawn_lately(), 64 + 8 * draws
for _, id in ipairs(ids) do
  seen[id] = true
end
--@include picks
local last = #ids + draws
while #ids < last and left > 0 and not is_spent do
  local id = next_pick()
  if not id then
    break
  end
  if seen[id] or is_passed_over(id, lately[id]) or not hand_out(id) then
    left = left - 1
  else
    seen[id] = true
    ids[#ids + 1] = id
  end
end
store_random()
