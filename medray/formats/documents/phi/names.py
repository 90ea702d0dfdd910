"""Names by list: frequent given names and surnames, apart from those that are words as well.

The lists are short: what surrounds a name (a title, a given name, "name:") finds the others, and a
site adds its own people's by `phi: {names: …}`.
"""


def listed(text: str) -> frozenset[str]:
    """Words of a text."""
    return frozenset(text.split())


GIVEN = listed(
    """
    aaron abigail adam adrian agnes ahmed aidan alan albert alexander alexandra alexis alfred
    alice alicia alison allison amanda amber amelia amy ana andrea andrew angela angelica anita
    ann anna anne annette anthony antonio arthur ashley audrey barbara beatrice benjamin
    bernard beth betty beverly bonnie bradley brandon brenda brian bridget bruce bryan caleb
    cameron carl carla carlos carmen carol caroline carolyn catherine cecilia charles charlotte
    cheryl chloe chris christian christina christine christopher claire clara claudia clifford
    colin connie connor craig crystal cynthia daniel danielle darlene darren david deborah
    debra denise dennis derek diana diane dolores donald donna dorothy douglas dylan edith
    eduardo edward edwin eileen elaine eleanor elena elijah elizabeth ellen emily emma eric
    erica erin ernest esther ethan eugene eva evelyn fatima felix fernando florence frances
    francis francisco frederick gabriel gail gary george gerald geraldine gladys glenn gloria
    gordon greg gregory hannah harold harriet harry heather hector heidi helen henry herbert
    hilda howard hugh ian ingrid irene isaac isabel isabella jack jackie jackson jacob
    jacqueline jaime james jamie jane janet janice jason javier jay jean jeanne jeff jeffrey
    jennifer jeremy jerome jesse jessica jill jim jimmy joan joanna joanne joe joel johannes
    john johnny jonathan jorge jose joseph josephine joshua joyce juan juanita judith judy
    julia julian julie justin karen karl katherine kathleen kathryn kathy katie keith kelly
    kenneth kevin kimberly kristen kristin kyle larry laura lauren laurence lawrence leah
    leonard leroy leslie lillian linda lisa lloyd lois lori lorraine louis louise lucas lucia
    lucille lucy luis luke lydia lynn madison marcia marcus margaret maria marian marie marilyn
    mario marion marjorie marlene marshall martha martin marvin mary mathew matthew maureen
    maurice megan melanie melissa melvin michael michele michelle miguel mildred mohamed
    mohammed monica morgan nancy naomi natalie nathan nathaniel neil nicholas nicole nina nora
    norma norman olga oliver olivia oscar pamela patricia patrick paul paula pauline pedro
    peggy peter philip phillip phyllis priscilla rachel ralph ramona raymond rebecca regina
    renee rhonda ricardo richard rita robert roberta roger ronald rosa rosemary roy russell
    ruth ryan sally samantha samuel sandra sara sarah scott sean sebastian sergio sharon shawn
    sheila shirley simon sofia sophia stacy stanley stefan stephanie stephen steve steven
    stuart susan suzanne sylvia tamara tammy tanya tara teresa terry theodore theresa thomas
    tiffany timothy tina todd tony tracy travis tyler valerie vanessa vera vernon veronica
    victor victoria vincent violet virginia vivian walter wanda wayne wendy wesley william
    yolanda yvonne zachary zoe
    """
)
SURNAMES = listed(
    """
    adams aguilar alexander allen alvarez anderson andrews armstrong arnold bailey baker barnes
    barrett bates beck becker bennett berry bishop boyd bradley bryant burke burns butler
    campbell carlson carpenter carr carroll carter castillo castro chang chapman chavez chen
    clark clarke coleman collins contreras cooper cox crawford cruz cunningham davidson davies
    davis diaz dixon doe duncan dunn edwards elliott ellis estrada evans ferguson fernandez
    fields fischer fisher fitzgerald fleming flores foster fowler franklin freeman fuller
    garcia gardner garrett garza gibson gilbert gomez gonzales gonzalez goodman graham greene
    griffin guerrero gupta gutierrez guzman hamilton hansen hanson harper harris harrison
    harvey hawkins hayes henderson henry hernandez herrera hicks hoffman holland holmes hopkins
    howard howell hudson hughes hunt hussain ibrahim jackson jacobs jenkins jensen jimenez
    johnson johnston jones kelley kelly kennedy khan klein knight kowalski kumar larson
    lawrence lawson lewis li lin liu lopez lynch marquez martin martinez matthews mccarthy
    mccoy mcdonald medina mehta mendez mendoza meyer miller mitchell montgomery moore morales
    moreno morris morrison mueller muller munoz murphy murray myers nelson newman nguyen
    nichols nielsen obrien oconnor olson ortega ortiz owens palmer park parker patel patterson
    payne perez perkins perry peters peterson petrov pham phillips porter powell ramirez ramos
    reed reyes reynolds richards richardson riley rios rivera roberts robertson robinson
    rodriguez rogers romero rossi ruiz russell ryan sanchez sanders santiago santos schmidt
    schneider schroeder schultz schwartz scott sharma shaw silva simmons simpson singh smith
    snyder soto spencer stephens stevens stewart sullivan tanaka taylor thomas thompson torres
    tran tucker turner valdez vargas vasquez vega wagner walker wallace walsh wang warren
    washington watkins watson weaver webb weber wheeler williams williamson wilson wong wright
    wu yang zhang zhao zimmerman
    """
)
EPONYMS = listed(
    """
    addison alzheimer asperger babinski barrett bell bowen bright broca burkitt chiari crohn
    cullen cushing down duchenne ewing fabry fallot foley gilbert glasgow gleason gram graves
    guillain hashimoto hirschsprung hodgkin homans huntington kaplan kaposi karnofsky kawasaki
    klinefelter korotkoff lewy lyme mallory marfan mcburney meier meniere munchausen murphy
    osgood paget parkinson pearson penrose raynaud reye romberg schlatter sjogren stevens swan
    tourette turner valsalva weiss wernicke willebrand wilms wilson wolff
    """
)
"""Surnames that stand for a sign, a disease or a tube where no title stands before them."""
