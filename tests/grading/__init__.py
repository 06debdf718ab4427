"""Grading: this chat, and anybody's chat.

``python -m tests.grading`` (`make grade`) plays users at real terminals and gives points with
reasons. It knows no chat's protocol: it types what a person types and looks at what a person sees.

From the data to the grade:

``rubric.toml``, ``rubric``
    the requirements with their points; a teacher edits them without touching Python
``chat.toml``, ``submission``
    how one chat is started and spoken to: this one; every student's has such a file
``python``
    whose files are the student's, and which Python runs them
``network``, ``sandbox``
    the student's programs on a network of their own, with limits, in a folder of their own
``meddler``
    a peer that misbehaves on the network: stays silent, sends garbage, hangs up, cuts up
``stage``
    server and users at terminals; waiting, and what is said when something does not come
``checks``, ``papers``
    what each requirement plays at the terminals, or looks up in the files
``engine``, ``output``
    all requirements for one submission; the grade in the terminal, as JSON, as Markdown
``archives``, ``many``
    what a course system exports; a folder of submissions, several at a time
``clues``, ``signs``
    what code and screens suggest; what two moments have in common
``findings``, ``play``, ``starting``, ``search``, ``trial``, ``describe``
    what was found out about a chat; its server and users, typing; how these are started; what is
    typed to do something; trying out one thing after another; the file, in talk with the teacher
"""
