-- What the report's dialect of Markdown means in Typst and in Word.
-- The elements: headings with a number; divs of the classes figure, listing and table, each
-- with a label, a prefix ("Рис."), a number and a div of the class caption; code blocks.

local typst = FORMAT == "typst"
local docx = FORMAT == "docx"
local headings = 0

local function typst_string(text)
  return '"' .. text:gsub("\\", "\\\\"):gsub('"', '\\"') .. '"'
end

local function openxml_text(text)
  return text:gsub("&", "&amp;"):gsub("<", "&lt;"):gsub(">", "&gt;")
end

local function mark_heading(header)
  local number = header.attributes.number
  if typst then
    local opening = ("#heading(level: %d, numbering: (..) => %s)["):format(header.level, typst_string(number))
    local inlines = pandoc.Inlines { pandoc.RawInline("typst", opening) }
    inlines:extend(header.content)
    inlines:insert(pandoc.RawInline("typst", ("] <%s>"):format(header.identifier)))
    return pandoc.Plain(inlines)
  end
  header.content:insert(1, pandoc.Str(number .. "\u{2002}"))
  if docx then
    -- Pandoc's own bookmark spans the whole section; the contents want the page of the heading.
    headings = headings + 1
    local id = 100000 + headings
    header.content:insert(1, pandoc.RawInline("openxml",
      ('<w:bookmarkStart w:id="%d" w:name="_Toc_%s"/>'):format(id, header.identifier)))
    header.content:insert(pandoc.RawInline("openxml", ('<w:bookmarkEnd w:id="%d"/>'):format(id)))
  end
  header.attributes.number = nil
  return header
end

local function mark_code(block)
  local language = block.classes[1] or ""
  if typst then
    if language == "output" then
      return pandoc.RawBlock("typst", ("#output-block(%s)"):format(typst_string(block.text)))
    end
    local numbers = (block.attributes.numbers or ""):gsub("(%d*),", function(number)
      return (number == "" and "none" or number) .. ","
    end)
    return pandoc.RawBlock("typst", ("#code-block(%s, language: %s, numbers: (%s))"):format(
      typst_string(block.text), typst_string(language), numbers))
  end
  if docx and language == "output" then
    -- Without a language the block would look like code that the reader is asked to read.
    local lines = pandoc.Inlines {}
    for line in (block.text .. "\n"):gmatch("(.-)\n") do
      if #lines > 0 then
        lines:insert(pandoc.LineBreak())
      end
      local text = openxml_text(line)
      lines:insert(pandoc.RawInline("openxml", ('<w:r><w:t xml:space="preserve">%s</w:t></w:r>'):format(text)))
    end
    return pandoc.Div({ pandoc.Para(lines) }, pandoc.Attr("", {}, { ["custom-style"] = "Output" }))
  end
end

local function choose_picture(image)
  if typst and image.attributes.vector then
    image.src = image.attributes.vector
  end
  image.attributes.vector = nil
  return image
end

local function number_lines(div)
  if div.classes:includes("listing") then
    return div:walk {
      CodeBlock = function(block)
        block.attributes.numbers = div.attributes.numbers
        return block
      end,
    }
  end
end

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

local function typst_captioned(div, kind)
  local caption, rest = take_caption(div)
  local head = pandoc.Inlines { pandoc.RawInline("typst", ("#captioned(%s, [%s\u{a0}%s.], ["):format(
    typst_string(kind), div.attributes.prefix, div.attributes.number)) }
  head:extend(caption)
  head:insert(pandoc.RawInline("typst", "])["))
  local blocks = pandoc.Blocks { pandoc.Plain(head) }
  blocks:extend(rest)
  blocks:insert(pandoc.RawBlock("typst", ("] <%s>"):format(div.identifier)))
  return blocks
end

-- A caption as Word makes them: the number is a field that counts by itself.
local function docx_captioned(div, kind)
  local caption, rest = take_caption(div)
  local prefix, number = div.attributes.prefix, div.attributes.number
  local field = ('<w:fldSimple w:instr=" SEQ %s \\* ARABIC "><w:r><w:rPr><w:b/></w:rPr><w:t>%s</w:t></w:r></w:fldSimple>'):format(
    prefix:gsub("%.", ""), number)
  local inlines = pandoc.Inlines {
    pandoc.Strong { pandoc.Str(prefix .. "\u{a0}") }, pandoc.RawInline("openxml", field),
    pandoc.Strong { pandoc.Str(".") }, pandoc.Space() }
  inlines:extend(caption)
  local style = kind == "figure" and "Image Caption" or "Table Caption"
  local paragraph = pandoc.Div({ pandoc.Para(inlines) }, pandoc.Attr("", {}, { ["custom-style"] = style }))
  if kind == "figure" then
    local picture = pandoc.Div(rest, pandoc.Attr("", {}, { ["custom-style"] = "Captioned Figure" }))
    return pandoc.Div({ picture, paragraph }, pandoc.Attr(div.identifier))
  end
  rest:insert(1, paragraph)
  return pandoc.Div(rest, pandoc.Attr(div.identifier))
end

local function mark_captioned(div)
  for _, kind in ipairs { "figure", "listing", "table" } do
    if div.classes:includes(kind) then
      return typst and typst_captioned(div, kind) or docx_captioned(div, kind)
    end
  end
end

-- A paragraph that ends in a colon stays on the page of what it announces.
local function keep_announcements(blocks)
  for index = 1, #blocks - 1 do
    local block, following = blocks[index], blocks[index + 1]
    if block.t == "Para" and following.t ~= "Para" then
      local last = block.content[#block.content]
      if last and last.t == "Str" and last.text:sub(-1) == ":" then
        if typst then
          block.content:insert(1, pandoc.RawInline("typst", "#announcement["))
          block.content:insert(pandoc.RawInline("typst", "]"))
          blocks[index] = pandoc.Plain(block.content)
        elseif docx then
          blocks[index] = pandoc.Div({ block }, pandoc.Attr("", {}, { ["custom-style"] = "Announcement" }))
        end
      end
    end
  end
  return blocks
end

-- Word does not balance columns by itself: give each its share by what stands in it.
local function style_table(grid)
  if not docx then
    return nil
  end
  local longest, total = {}, 0
  local rows = grid.head.rows:clone()
  for _, body in ipairs(grid.bodies) do
    rows:extend(body.body)
  end
  for _, row in ipairs(rows) do
    for column, cell in ipairs(row.cells) do
      local length = pandoc.text.len(pandoc.utils.stringify(cell.contents))
      longest[column] = math.min(math.max(longest[column] or 6, length), 60)
    end
  end
  for _, length in ipairs(longest) do
    total = total + length + 2
  end
  for column, length in ipairs(longest) do
    grid.colspecs[column][2] = (length + 2) / math.max(total, 80)
  end
  local style = pandoc.Attr("", {}, { ["custom-style"] = "Table Text" })
  local styled = grid:walk {
    Plain = function(text)
      return pandoc.Div({ pandoc.Para(text.content) }, style)
    end,
  }
  -- A table has no space below it of its own.
  return { styled, pandoc.RawBlock("openxml",
    '<w:p><w:pPr><w:spacing w:before="0" w:after="0" w:line="160" w:lineRule="exact"/></w:pPr></w:p>') }
end

return {
  { Div = number_lines, Blocks = keep_announcements },
  { Header = mark_heading, CodeBlock = mark_code, Image = choose_picture, Table = style_table, Div = mark_captioned },
}
