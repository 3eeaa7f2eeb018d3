-- quotas: least and greatest shares of labels (_sampling/quotas.py). A draw first chooses one of these labels, or the others;
-- a task of the others is drawn as the family does.
-- Needs: call, pool, packed_quotas, all_count, task_at, uniform, index, pick, any_other, label_part, member_of,
--   malformed
-- Gives: quota_picks
local QUOTA_TRIALS = 1024

-- The labels that have quotas, and tasks; `part` of the draws is what each would have without.
local function read_quotas()
  local rows, at = {}, 1
  while at <= #packed_quotas do
    local row, size = {}, 0
    row.least, row.greatest, size, at = struct.unpack('<ddH', packed_quotas, at)
    row.label, at = string.sub(packed_quotas, at, at + size - 1), at + size
    if call('HEXISTS', pool .. 'labels', row.label) == 1 then
      row.part = label_part(row.label)
      rows[#rows + 1] = row
    end
  end
  return rows
end

-- Give each a share: its part times one factor, cut to its bounds. `rest`: the part of the labels without quotas.
local function share_out(rows, rest)
  local given = 0
  for _ = 1, #rows + 1 do
    local free, under, over = rest, 0, 0
    for _, row in ipairs(rows) do
      free = row.share and free or free + row.part
    end
    local factor = free > 0 and (1 - given) / free or 0
    for _, row in ipairs(rows) do
      if not row.share then
        under = under + math.max(row.least - factor * row.part, 0)
        over = over + math.max(factor * row.part - row.greatest, 0)
      end
    end
    for _, row in ipairs(rows) do
      if not row.share then
        local share = factor * row.part
        if under == 0 and over == 0 then
          row.share = share
        elseif under >= over and share < row.least then
          row.share, given = row.least, given + row.least
        elseif under < over and share > row.greatest then
          row.share, given = row.greatest, given + row.greatest
        end
      end
    end
  end
end

-- A task of the labels without quotas; if these are hardly ever drawn, any of their tasks.
local function pick_other(has_quota)
  for i = 1, 2 * QUOTA_TRIALS do
    local id
    if i <= QUOTA_TRIALS then
      id = pick()
    else
      id = task_at(index(all_count))
    end
    if not (id and has_quota[call('HGET', pool .. 'task:' .. id, 'label')]) then
      return id
    end
  end
  return any_other(has_quota)
end

-- The function that draws one task under quotas.
local function quota_picks()
  local rows, has_quota, sum, total = read_quotas(), {}, 0, 0
  for _, row in ipairs(rows) do
    has_quota[row.label], sum = true, sum + row.part
  end
  local rest = call('HLEN', pool .. 'labels') > #rows and math.max(1 - sum, 1e-12) or 0
  share_out(rows, rest)
  for _, row in ipairs(rows) do
    total = total + (row.share or malformed(pool .. 'labels', row.label, string.format('%g', row.part)))
  end
  return function()
    local v, upto, id = uniform(), 0, nil
    v = rest == 0 and v * total or v -- without others the shares may sum to less than 1
    for i, row in ipairs(rows) do
      upto = upto + row.share
      if v < upto or (rest == 0 and i == #rows) then
        id = member_of(row.label)
        return id
      end
    end
    return pick_other(has_quota)
  end
end
