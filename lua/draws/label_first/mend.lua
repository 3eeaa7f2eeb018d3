-- mend: put right what the draws keep.
-- Needs: call, pool, place_label, place_again, tasks_of
-- Gives: index_mend, index_add

-- A label stands in the wrong place: take it out of every set, then put it where it belongs.
local function index_mend(label)
  for _, set in ipairs({ 'weights', 'masses', 'young' }) do
    local score = tonumber(call('ZSCORE', pool .. set, label) or 0)
    if not (score >= 0 and score <= 2097152) then -- no score of ours: it is in no sum
      call('ZREM', pool .. set, label)
    end
  end
  place_label(label, {}, 0)
  call('ZREM', pool .. 'masses', label)
  place_again(label, tasks_of(label))
end

-- Add to a number of `groups`: one of the two sums, or the count of a group.
local function index_add(place, amount)
  local kind = tonumber(place) < 2 and 'i64' or 'u32'
  call('BITFIELD', pool .. 'groups', 'INCRBY', kind, '#' .. (kind == 'i64' and place or place + 2), amount)
end
