-- pick: a state by what is known of it in the whole pool, then a task of it by its own weight; for a share of the draws, any
-- task (_sampling/by_state.py).
-- Needs: call, pool, uniform, index, all_count, task_at, floor, STATES, state_weight, load_pool, cell_at, label_shares,
--   malformed, whole_number
-- Gives: is_spent, pick
local MOST_TRIALS, is_spent = 1024, false
local chosen_cells, total = {}, 0 -- each with the sum of the masses up to its own

local of_pool, sums, flat = load_pool(), {}, call('HGETALL', pool .. 'cell_sums')
for i = 1, #flat, 2 do
  sums[flat[i]] = whole_number(pool .. 'cell_sums', flat[i], flat[i + 1])
end
local by_state = {}
for s = 0, STATES - 1 do
  by_state[s] = state_weight(s, of_pool)
end
for _, row in ipairs(label_shares()) do
  for s = 0, STATES - 1 do
    local cell = cell_at(s, row.label)
    local sum = sums[cell] or 0
    if sum > 0 then
      total = total + by_state[s] * (sum / 4294967296) * row.share
      chosen_cells[#chosen_cells + 1] = { key = pool .. 'cell:' .. cell, upto = total }
    end
  end
end

-- Pieces of a cell, highest weights first: those in (2^(e-1), 2^e] together, all below 2^-33 as one.
local function pieces_of(cell)
  local start, pieces, envelope = 0, {}, 0
  while true do
    local place = string.format('%d', start)
    local first = call('ZREVRANGE', cell.key, place, place, 'WITHSCORES')
    local score = first[1] and tonumber(first[2]) or 0
    if score == 0 then
      break
    elseif not (score > 0 and score <= 1) then -- a loop without an end
      malformed(cell.key, first[1], first[2])
    end
    local mantissa, exponent = math.frexp(score)
    exponent = mantissa == 0.5 and exponent - 1 or exponent
    local top, below = math.ldexp(1, exponent), '(' .. string.format('%.17g', math.ldexp(1, exponent - 1))
    if exponent < -32 then
      top, below = math.ldexp(1, -33), '(0'
    end
    local count = call('ZCOUNT', cell.key, below, string.format('%.17g', top))
    pieces[#pieces + 1] = { start = start, count = count, top = top }
    start, envelope = start + count, envelope + count * top
  end
  cell.pieces, cell.envelope = pieces, envelope
end

-- A task of a cell by its weight.
local function pick_in(cell)
  if not cell.pieces then
    pieces_of(cell)
  end
  for _ = 1, MOST_TRIALS do
    local v = uniform() * cell.envelope
    for _, piece in ipairs(cell.pieces) do
      if v < piece.count * piece.top then
        local place = string.format('%d', piece.start + index(piece.count))
        local found = call('ZREVRANGE', cell.key, place, place, 'WITHSCORES')
        if uniform() * piece.top < tonumber(found[2]) then
          return found[1]
        end
        break
      end
      v = v - piece.count * piece.top
    end
  end
end

local function pick()
  if total == 0 or uniform() < floor then
    return task_at(index(all_count))
  end
  local v = uniform() * total
  for _, cell in ipairs(chosen_cells) do
    if v < cell.upto then
      return pick_in(cell)
    end
  end
  return pick_in(chosen_cells[#chosen_cells])
end
