-- What the report's dialect of Markdown means in Typst and in Word.
-- The elements: headings with a number; divs of the classes figure, listing and table, each
-- with a label, a prefix ("Рис."), a number and a div of the class caption; code blocks;
-- divs of the classes prediction, answers, notes and source.

local typst = FORMAT == "typst"
local docx = FORMAT == "docx"
local gost = false
local appendix_word = ""
local bookmarks = 100000 -- pandoc's own begin at 20

local function typst_string(text)
  return '"' .. text:gsub("\\", "\\\\"):gsub('"', '\\"') .. '"'
end

local function openxml_text(text)
  return text:gsub("&", "&amp;"):gsub("<", "&lt;"):gsub(">", "&gt;")
end

local function raw(format, text)
  return pandoc.RawInline(format, text)
end

local function styled(blocks, style, identifier)
  return pandoc.Div(blocks, pandoc.Attr(identifier or "", {}, { ["custom-style"] = style }))
end

local function read_settings(meta)
  gost = pandoc.utils.stringify(meta.form or "") == "gost"
  appendix_word = pandoc.utils.stringify(meta.appendix or "")
end

-- Inlines between the two ends of a bookmark. Word takes letters, digits and "_", 40 at most.
local function bookmark(name, inlines)
  bookmarks = bookmarks + 1
  local marked = pandoc.Inlines { raw("openxml", ('<w:bookmarkStart w:id="%d" w:name="%s"/>'):format(bookmarks, name)) }
  marked:extend(inlines)
  marked:insert(raw("openxml", ('<w:bookmarkEnd w:id="%d"/>'):format(bookmarks)))
  return marked
end

local function bookmark_name(label)
  local name = "_Ref_" .. label:gsub("[^%w]", "_")
  return #name <= 40 and name or name:sub(1, 32) .. pandoc.utils.sha1(label):sub(1, 8)
end

local function field(instruction, shown, properties)
  local run = "<w:r>" .. (properties or "")
  return raw("openxml", run .. '<w:fldChar w:fldCharType="begin"/></w:r>' ..
    run .. ('<w:instrText xml:space="preserve"> %s </w:instrText></w:r>'):format(instruction) ..
    run .. '<w:fldChar w:fldCharType="separate"/></w:r>' ..
    run .. ("<w:t>%s</w:t></w:r>"):format(openxml_text(shown)) ..
    run .. '<w:fldChar w:fldCharType="end"/></w:r>')
end

-- --- headings ----------------------------------------------------------------------------------

local function typst_heading(header, number, structural)
  local numbering = structural and "none" or ("(..) => %s"):format(typst_string(number))
  local inlines = pandoc.Inlines { raw("typst", ("#heading(level: %d, numbering: %s)["):format(header.level, numbering)) }
  inlines:extend(header.content)
  inlines:insert(raw("typst", ("] <%s>"):format(header.identifier)))
  return pandoc.Plain(inlines)
end

local function mark_heading(header)
  local number = header.attributes.number
  local structural = header.classes:includes("structural")
  if header.classes:includes("appendix") then
    if gost then
      structural = true
      local title = header.content
      header.content = pandoc.Inlines { pandoc.Str(pandoc.text.upper(appendix_word) .. " " .. number), pandoc.LineBreak() }
      header.content:extend(title)
    else
      number = appendix_word .. "\u{a0}" .. number .. "."
    end
  end
  if typst then
    return typst_heading(header, number, structural)
  end
  if docx then
    if not structural then
      header.content:insert(1, pandoc.Str(number .. "\u{2002}"))
    end
    -- Pandoc's own bookmark spans the whole section; the contents want the page of the heading.
    header.content = bookmark("_Toc_" .. header.identifier:gsub("-", "_"), header.content)
    if structural then
      return styled({ pandoc.Para(header.content) }, "Structural Heading", header.identifier)
    end
    header.attributes.number = nil
    return header
  end
end

-- --- code --------------------------------------------------------------------------------------

local function mark_code(block)
  local language = block.classes[1] or ""
  if typst then
    if language == "output" then
      return pandoc.RawBlock("typst", ("#output-block(%s)"):format(typst_string(block.text)))
    end
    local numbers = (block.attributes.numbers or ""):gsub("(%d*),", function(number)
      return (number == "" and "none" or number) .. ","
    end)
    local of = block.attributes.of and typst_string(block.attributes.of) or "none"
    return pandoc.RawBlock("typst", ("#code-block(%s, language: %s, numbers: (%s), number: %s)"):format(
      typst_string(block.text), typst_string(language), numbers, of))
  end
  if docx and language == "output" then
    -- Without a language the block would look like code that the reader is asked to read.
    local lines = pandoc.Inlines {}
    for line in (block.text .. "\n"):gmatch("(.-)\n") do
      if #lines > 0 then
        lines:insert(pandoc.LineBreak())
      end
      lines:insert(raw("openxml", ('<w:r><w:t xml:space="preserve">%s</w:t></w:r>'):format(openxml_text(line))))
    end
    return styled({ pandoc.Para(lines) }, "Output")
  end
end

local function number_lines(div)
  if div.classes:includes("listing") then
    return div:walk {
      CodeBlock = function(block)
        block.attributes.numbers = div.attributes.numbers
        block.attributes.of = div.attributes.number
        return block
      end,
    }
  end
end

-- --- pictures and formulas ---------------------------------------------------------------------

local function show_picture(image)
  local alt = pandoc.utils.stringify(image.caption)
  if typst then
    local width = image.attributes.width or "auto"
    return raw("typst", ("#picture(%s, %s, width: %s)"):format(
      typst_string(image.attributes.vector or image.src), typst_string(alt), width))
  end
  image.attributes.vector = nil
  return image
end

-- What a reader who cannot see the formula is told is its source, as it is usual.
local function spoken(formula)
  if typst then
    local written = pandoc.write(pandoc.Pandoc { pandoc.Plain { formula } }, "typst"):gsub("%s+$", "")
    return raw("typst", ("#formula(%s)[%s]"):format(typst_string(formula.text), written))
  end
end

-- By the standard a formula on a line of its own has a number at the right margin.
local function numbered_formula(paragraph)
  local formula = paragraph.content[1]
  if docx and gost and #paragraph.content == 1 and formula.t == "Math" and formula.mathtype == "DisplayMath" then
    local tab = raw("openxml", "<w:r><w:tab/></w:r>")
    return styled({ pandoc.Para { tab, pandoc.Math("InlineMath", formula.text), tab,
      pandoc.Str("("), field("SEQ Formula \\* ARABIC", "1"), pandoc.Str(")") } }, "Formula")
  end
end

-- --- captions and references -------------------------------------------------------------------

local function take_caption(div)
  local caption, rest = pandoc.Inlines {}, pandoc.Blocks {}
  for _, block in ipairs(div.content) do
    if block.t == "Div" and block.classes:includes("caption") then
      caption = pandoc.utils.blocks_to_inlines(block.content)
    else
      rest:insert(block)
    end
  end
  return caption, rest
end

-- A column of a table that fills the page holds its longest word; what is left goes to the columns
-- whose cells need it most. Pandoc shares the width by the dashes of the source, which says nothing
-- about the words. Returns whether the page has room for all columns: words need no hyphens then.
-- All lengths are in sizes of the letters of a table: 9 pt on 160 mm, by the standard 12 pt on 165 mm.
local function table_width()
  return gost and 39 or 50.3
end

local function padding()
  return gost and 1 or 1.4
end

-- The widths of letters of Noto Sans; those of a bold head are wider.
local function length(text, bold)
  local sum = 0
  for _, code in utf8.codes(text) do
    local letter = utf8.char(code)
    if ("ЖМФШЩЫЮжмфшщыюWMmw@—"):find(letter, 1, true) then
      sum = sum + 0.86
    elseif ("ijl.,:;|!()[]'«» "):find(letter, 1, true) then
      sum = sum + 0.32
    elseif ("згкстуэхcksxyzvrtf"):find(letter, 1, true) then
      sum = sum + 0.53
    else
      sum = sum + 0.62
    end
  end
  return sum * (bold and 1.06 or 1)
end

-- The least width of each column, where cells of at most *short* letters stay on one line and what
-- matches *word* is not broken; the width in which all its cells are a line each; and that in which
-- the head may take two.
local function widths(grid, short, word)
  local least, whole, enough = {}, {}, {}
  for column = 1, #grid.colspecs do
    least[column], whole[column], enough[column] = padding(), padding(), padding()
  end
  local function measure(row, is_head)
    for column, cell in ipairs(row.cells) do
      if cell.col_span > 1 then
        return
      end
      local text = pandoc.utils.stringify(cell.contents)
      local bold = is_head and not gost
      local own = length(text, bold) + padding()
      whole[column] = math.max(whole[column], own)
      enough[column] = math.max(enough[column], is_head and own / 2 + padding() or own)
      if utf8.len(text) <= short and not is_head then
        least[column] = math.max(least[column], own)
      end
      for piece in text:gmatch(word) do
        least[column] = math.max(least[column], length(piece, bold) + padding())
      end
    end
  end
  for _, row in ipairs(grid.head.rows) do
    measure(row, true)
  end
  for _, body in ipairs(grid.bodies) do
    for _, row in ipairs(body.body) do
      measure(row, false)
    end
  end
  return least, whole, enough
end

local function sum_of(numbers)
  local sum = 0
  for _, number in ipairs(numbers) do
    sum = sum + number
  end
  return sum
end

local function share_width(grid)
  local least, whole, enough = widths(grid, 0, "[^%s/_.:(]+")
  if sum_of(whole) <= table_width() then
    return true
  end
  local function more(given)
    local wanted = 0
    for column = 1, #given do
      wanted = wanted + math.max(0, enough[column] - given[column])
    end
    return wanted
  end
  for _, short in ipairs { 24, 16, 0 } do
    local tried = widths(grid, short, "%S+")
    -- Not at the cost of the columns whose cells are sentences.
    local rest = short > 0 and 0.2 * more(tried) or 0.1 * table_width()
    if table_width() - sum_of(tried) >= rest then
      least = tried
      break
    end
  end
  local taken, wanted = sum_of(least), more(least)
  local free, sum = math.max(0, table_width() - taken), 0
  for column = 1, #least do
    if wanted > 0 then
      least[column] = least[column] + free * math.max(0, enough[column] - least[column]) / wanted
    end
    sum = sum + least[column]
  end
  local specs = grid.colspecs
  for column, spec in ipairs(specs) do
    specs[column] = { spec[1], least[column] / sum }
  end
  grid.colspecs = specs
  return taken <= table_width()
end

local function with_continued_head(grid, number)
  local whole_words = share_width(grid)
  local written = pandoc.write(pandoc.Pandoc { grid }, "typst"):gsub("align%(center%)", "align(start)", 1)
  local row = ("table.header(continued-table(%s, %d), "):format(typst_string(number), #grid.colspecs)
  written = written:gsub("table%.header%(", function() return row end, 1)
  return pandoc.RawBlock("typst", ("#show table: set text(hyphenate: %s)\n"):format(not whole_words) .. written)
end

local function typst_captioned(div, kind)
  local caption, rest = take_caption(div)
  local number = div.attributes.number
  if kind == "table" then
    rest = rest:walk { Table = function(grid) return with_continued_head(grid, number) end }
  end
  local fixed = div.attributes.fixed and "fixed: true, " or ""
  local head = pandoc.Inlines { raw("typst", ("#captioned(%s, %s, %s, %s["):format(
    typst_string(kind), typst_string(div.attributes.prefix), typst_string(number), fixed)) }
  head:extend(caption)
  head:insert(raw("typst", "])["))
  local blocks = pandoc.Blocks { pandoc.Plain(head) }
  if kind == "table" then
    blocks:insert(1, pandoc.RawBlock("typst", "#need-room"))
  elseif div.attributes.fixed then
    blocks:insert(1, pandoc.RawBlock("typst", "#place.flush()"))
  end
  blocks:extend(rest)
  blocks:insert(pandoc.RawBlock("typst", ("] <%s>"):format(div.identifier)))
  return blocks
end

-- A caption as Word makes them: the number is a field that counts by itself, in a bookmark that
-- references to it name.
local function docx_captioned(div, kind)
  local caption, rest = take_caption(div)
  local prefix, number = div.attributes.prefix, div.attributes.number
  local letter, count = number:match("^([^%d]+%.)(%d+)$")
  local sequence = prefix:gsub("%.", "") .. (letter and "_" .. letter:gsub("%.", "") or "")
  local properties = gost and "" or "<w:rPr><w:b/></w:rPr>"
  local counted = pandoc.Inlines { field(("SEQ %s \\* ARABIC"):format(sequence), count or number, properties) }
  if letter then
    counted:insert(1, pandoc.Str(letter))
  end
  local words = pandoc.Inlines { pandoc.Str(prefix .. "\u{a0}") }
  words:extend(bookmark(bookmark_name(div.identifier), gost and counted or { pandoc.Strong(counted) }))
  local inlines = gost and words or pandoc.Inlines { pandoc.Strong { words[1] } }
  if gost then
    inlines:extend { pandoc.Space(), pandoc.Str("–"), pandoc.Space() }
  else
    for index = 2, #words do
      inlines:insert(words[index])
    end
    inlines:extend { pandoc.Strong { pandoc.Str(".") }, pandoc.Space() }
  end
  inlines:extend(caption)
  local style = kind == "figure" and "Image Caption" or "Table Caption"
  local paragraph = styled({ pandoc.Para(inlines) }, style)
  if kind == "figure" then
    return pandoc.Div({ styled(rest, "Captioned Figure"), paragraph }, pandoc.Attr(div.identifier))
  end
  rest:insert(1, paragraph)
  return pandoc.Div(rest, pandoc.Attr(div.identifier))
end

-- A reference is a field too: Word changes its number with that of the caption or the source.
local function refer(link)
  local label = link.target:match("^#(%a+%-[%w-]+)$")
  local kind = label and label:match("^%a+")
  if not docx or not (kind == "fig" or kind == "lst" or kind == "tab" or kind == "src") then
    return nil
  end
  local content = link.content
  local last = content[#content]
  local before, number, after = (last.t == "Str" and last.text or ""):match("^(.-)([%a]?%.?%d+)([%])]?)$")
  if not number then
    return nil
  end
  -- «листинге 3», where a no-break space is a part of the word.
  local split = last.text:match("^.*\u{a0}()")
  if split then
    before, number, after = last.text:sub(1, split - 1), last.text:sub(split):gsub("[%])]+$", ""), last.text:match("[%])]*$")
  end
  content:remove(#content)
  content:extend { pandoc.Str(before), field(("REF %s \\h"):format(bookmark_name(label)), number), pandoc.Str(after) }
  return content
end

local function list_source(div)
  if typst then
    -- Words before an address that cannot be broken would stand far apart.
    div.content:insert(1, pandoc.RawBlock("typst", "#set par(justify: false)"))
    return div
  end
  local paragraph = div.content[1]
  local first = paragraph.content[1]
  local number, rest = first.text:match("^(%d+)(.*)$")
  if number then
    paragraph.content:remove(1)
    local marked = bookmark(bookmark_name(div.identifier), { pandoc.Str(number) })
    marked:insert(pandoc.Str(rest))
    marked:extend(paragraph.content)
    return styled({ pandoc.Para(marked) }, "Source", div.identifier)
  end
end

-- --- questions, answers, notes -----------------------------------------------------------------

-- On paper the choices of a prediction stand in one paragraph below the question.
local function predict(div)
  local blocks, choices = pandoc.Blocks {}, pandoc.Inlines {}
  for _, block in ipairs(div.content) do
    if block.t == "BulletList" then
      for _, item in ipairs(block.content) do
        if #choices > 0 then
          choices:insert(pandoc.Space())
        end
        choices:extend(pandoc.utils.blocks_to_inlines(item))
      end
    else
      blocks:insert(block)
    end
  end
  blocks:insert(pandoc.Para(choices))
  return blocks
end

local function typst_block(name, blocks, identifier)
  local wrapped = pandoc.Blocks { pandoc.RawBlock("typst", ("#%s["):format(name)) }
  wrapped:extend(blocks)
  wrapped:insert(pandoc.RawBlock("typst", identifier ~= "" and ("] <%s>"):format(identifier) or "]"))
  return wrapped
end

local function mark_div(div)
  for _, kind in ipairs { "figure", "listing", "table" } do
    if div.classes:includes(kind) then
      return typst and typst_captioned(div, kind) or docx_captioned(div, kind)
    end
  end
  for kind, style in pairs { prediction = "Prediction", answers = "Answers", notes = "Notes" } do
    if div.classes:includes(kind) then
      local blocks = kind == "prediction" and predict(div) or div.content
      return typst and typst_block(kind, blocks, div.identifier) or styled(blocks, style, div.identifier)
    end
  end
  if div.classes:includes("source") then
    return list_source(div)
  end
end

-- Names in code cannot be broken: a paragraph that is mostly those has lines of its own lengths.
local function list_names(paragraph)
  local letters = 0
  paragraph:walk { Code = function(code) letters = letters + utf8.len(code.text) end }
  if typst and letters > utf8.len(pandoc.utils.stringify(paragraph)) / 2 then
    paragraph.content:insert(1, raw("typst", "#par(justify: false)["))
    paragraph.content:insert(raw("typst", "]"))
    return pandoc.Plain(paragraph.content)
  end
end

-- The standard keeps bold letters for headings.
local function stress(strong)
  if gost then
    return pandoc.Emph(strong.content)
  end
end

-- What is on the front page, or the last thing of a part, stands in the text, after all pictures that
-- wait for a page: nothing would fill the page above it.
local function fix_figures(document)
  local front = true
  for index, block in ipairs(document.blocks) do
    local following = document.blocks[index + 1]
    if block.t == "Header" then
      front = false
    elseif block.t == "Div" and block.classes:includes("figure") then
      if front or not following or (following.t == "Header" and following.level == 1) then
        block.attributes.fixed = "true"
      end
    end
  end
  return document
end

-- A colon, or words all in bold, which GOST makes italic.
local function announces(paragraph)
  local last = paragraph.content[#paragraph.content]
  if #paragraph.content == 1 and (last.t == "Strong" or last.t == "Emph") then
    return true
  end
  return last and last.t == "Str" and last.text:sub(-1) == ":"
end

-- A paragraph that announces what follows stays on its page.
local function keep_announcements(blocks)
  for index = 1, #blocks - 1 do
    local block, following = blocks[index], blocks[index + 1]
    if block.t == "Para" and following.t ~= "Para" and announces(block) then
      if typst then
        block.content:insert(1, raw("typst", "#announcement["))
        block.content:insert(raw("typst", "]"))
        blocks[index] = pandoc.Plain(block.content)
      elseif docx then
        blocks[index] = styled({ block }, "Announcement")
      end
    end
  end
  return blocks
end

local function style_table(grid)
  if not docx then
    return nil
  end
  local style = grid:walk {
    Plain = function(text)
      return styled({ pandoc.Para(text.content) }, "Table Text")
    end,
  }
  -- A table has no space below it of its own.
  return { style, pandoc.RawBlock("openxml",
    '<w:p><w:pPr><w:spacing w:before="0" w:after="0" w:line="160" w:lineRule="exact"/></w:pPr></w:p>') }
end

return {
  { Meta = read_settings, Pandoc = fix_figures },
  { Div = number_lines, Blocks = keep_announcements, Para = function(it) return numbered_formula(it) or list_names(it) end, Strong = stress },
  { Link = refer },
  { Header = mark_heading, CodeBlock = mark_code, Image = show_picture, Math = spoken, Table = style_table, Div = mark_div },
}
