"""English words that begin sentences or stand in headings with a capital and are no names. Pure data."""

from __future__ import annotations

from miva.engine.text import STOP_WORDS

_MORE = """
    able access according accordingly account across act action active activity actual actually add added adding
    addition additional additionally address advance advantage age ago aim aims albeit algorithm allow allowed
    allows almost alone along already alternatively although altogether always among amount analysis animal animals
    annual another answer answers any anyone anything appendix application approach approximately area areas
    argument around article articles aside ask asked aspect aspects assuming attempt author authors available
    average away back background bad based basic basically become becomes began begin behind believe benefit
    benefits besides best better beyond big
    book books bottom brief briefly bring build building buildings business buy call called care case cases category
    cause caused causes central century certain certainly challenge challenges change changes chapter characteristics
    child children choice cities city claim class clear clearly close code collection combined come comes common
    commonly company compare compared comparison complete completely computer concept concepts concern concerning
    conclusion condition conditions consequently consider considering consists contains content context continue
    contrary contrast control conversely cost costs countries country course create created critics culture current
    currently customers data date day days deal death decade decades decision defined definition depending derived
    described description design despite detail details determine developed development difference differences
    different difficult direct directly discovery discussion disease distance document documents done due duration
    earlier early easy economic economy education effect effects effort eight eighth either eleven else employees end
    energy engine enough ensure entire equipment especially essentially established etc even event events eventually
    ever every everyone everything evidence exactly example examples except exceptions excerpt excerpts existing
    experts explanation extra face fact factors facts false family far farmers fast feature features federal fewer
    field fifth figure figures final finally find findings first five follow followed following food force forces
    forest form formal formally former formerly forms forty found four fourth free frequently friend fully function
    functions fund further furthermore future game games general generally get given gives giving global goal goals
    god going gold good goods government governments gradually great greater group groups grow growth half hand happen
    happened hard health heat hence high higher highest highly historians historic historical historically history
    hold home house houses however human humans hundred hundreds idea ideas identify illness image immediately impact
    implementation importance important importantly improve improved inc include included includes including increase
    increased increasingly indeed independent indicates individual individuals industrial industry information initial
    initially input inside installation instead instructions interest interestingly internal international
    introduction investment issue issues item items job jobs judge judges just keep key kind king knowledge known
    labor labour lack land language languages large largely larger last lastly late later latter law laws lead leaders
    leading learn learning least left legal length less let letter level levels life light like likewise limit limited
    limits line list lists literature little live local located location long longer look loss lot low lower made main
    mainly maintenance major majority make makes making man management manner manufacturer many market material
    materials matter maximum may maybe mean meaning means meanwhile measure measures media medical member members men
    mention mentioned merely message method methods middle military minimum minor model models modern money month
    months moreover most mostly mother motion mountain moving multiple music mutual named namely names national native
    natural naturally nature near nearby nearly necessary need needed needs neither network never nevertheless new
    newer news next nine no nobody none nonetheless normal normally notable notably note notes nothing notice now
    nowadays nowhere number numbers numerous object objects obviously occasionally office officers official officially
    often oil old older one ones ongoing open operating operation operations opponents opposed option options order
    ordinary original originally other others otherwise outside overall overview owing owner owners page pages paper pdf
    paragraph part particular particularly partly parts party passage passages past pay people per percent percentage
    performance perhaps period person personal perspective phase phrase physical piece place plan plans plant plants
    play players please point points police policy political population position possible possibly power practice
    precisely present presently president press previous previously price prices primarily primary prior private
    probably problem problems process processes produced product production products program project projects proof
    properties property proponents provided provides public published purpose purposes put quality quantity question
    questions quickly quite quote range rarely rate rates rather reaction read reading real really reason reasons
    recent recently recommendation record records reduce reference references regarding regardless region regional
    regular regularly related relation relations relatively religion religious remember report reported reportedly
    reports required requirements requires research researchers resource resources respectively response
    responsibility rest result resulting results return review right rights risk risks river road role room rule rules
    safety sales sample say says scale school schools science scientific scientists scope score sea second secondly
    section sections security see seen self sense sentence separate separately series serious service services set
    setting settings seven several shared short shortly should show showing shown shows side sides significant
    significantly similar similarly simple simply since single situation six size small smaller social society
    software soil some somebody someone something sometimes somewhat somewhere soon sorry sort sound source sources
    south space speaking special species specific specifically spectators speed stage standard standards start started
    starting state stated statement states statistics status step steps still stone stop story strategy street strong
    structure student students studies study subject subsequent subsequently substances successful successfully
    suddenly sufficient suggest sum summary sun supply support supporters supposedly sure surface surprisingly system
    systems table tables take taken takes talk target task tasks teacher teachers team teams technical technically
    techniques technology temperature ten term terms test tests text thanks theories theory thereafter thereby
    therefore thing things think third thirdly thirty though thought thousands three throughout thus time times title
    today together tools top topic topics total toward towards town trade traditional traditionally training travel
    treatment tree trees trial true truth try turn turning twelve twenty two type types typical typically ultimately
    unable unclear understand unfortunately unique unit units unless unlike usage use used user users uses using usual
    usually value values variety various vary version versions view views visitors volume war warning warnings
    warranty waste water waves way ways week weeks weight well west whatever whenever whereas whereby wherever whether
    whichever while white whoever whole wide wind winter without woman women wood word words work worked workers
    working works world worldwide writers writing written wrong year years yes yet young zero
"""
COMMON_WORDS = STOP_WORDS | frozenset(_MORE.split())
