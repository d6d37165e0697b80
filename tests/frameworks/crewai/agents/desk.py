"""A crew as users of CrewAI write one; nothing here is for Pilothouse."""

import os

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from outside import tell
from pydantic import BaseModel


@tool("look")
def look(what: str) -> str:
    """Looks for something."""
    tell(f"look {what}")
    return f"{what} is here"


model = LLM(model=f"openai/{os.environ['OPENAI_MODEL']}", base_url=os.environ["OPENAI_BASE_URL"], api_key="unused")
finder = Agent(role="finder", goal="find things", backstory="You find.", llm=model, tools=[look], verbose=False)
task = Task(description="Find the {thing}.", expected_output="Where it is.", agent=finder)
support = Crew(agents=[finder], tasks=[task], tracing=False, verbose=False)


lead = Agent(role="lead", goal="lead", backstory="You lead.", llm=model, allow_delegation=True, verbose=False)
led = Task(description="Have the {thing} found.", expected_output="Where it is.", agent=lead)
team = Crew(agents=[lead, finder], tasks=[led], tracing=False, verbose=False)


class Verdict(BaseModel):
    allowed: bool
    reason: str


judge = Agent(role="judge", goal="judge things", backstory="You judge.", llm=model, verbose=False)
judging = Task(description="Judge {thing}.", expected_output="A verdict.", agent=judge, output_pydantic=Verdict)
judges = Crew(agents=[judge], tasks=[judging], tracing=False, verbose=False)
