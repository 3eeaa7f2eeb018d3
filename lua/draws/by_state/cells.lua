-- cells: the sorted sets that tasks are drawn from: one for each state, and for each label where labels count too. A cell's
-- sum, in the hash `cell_sums`, is that of its tasks' weights as whole numbers of 2^-32 (_sampling/by_state.py).
-- Needs: pool, label_factor_is_progress, increase, counted
-- Gives: cell_at, fixed_weight, cell_add
local function cell_at(s, label)
  return string.format('%d:', s) .. (label_factor_is_progress and label or '')
end

local function fixed_weight(h)
  return math.floor(h * 4294967296 + 0.5)
end

-- A sum of 0 is kept too: it says that the cell is there. + 0: of minus 0 Redis makes no integer.
local function cell_add(cell, amount)
  increase(pool .. 'cell_sums', cell, string.format('%.0f', amount + 0))
  counted()
end
