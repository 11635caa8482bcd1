// The words, plots and talks of the embedded data. The notation is explained in story_generator.h.
#include "train/data/story_generator.h"

namespace vigor {

const std::vector<StoryTable>& story_tables() {
  static const std::vector<std::string_view> characters = {
      "Mia; girl; she; her; her",      "Lily; girl; she; her; her",  "Emma; girl; she; her; her",
      "Anna; girl; she; her; her",     "Tom; boy; he; him; his",     "Ben; boy; he; him; his",
      "Max; boy; he; him; his",        "Leo; boy; he; him; his",     "Ruby; fox; she; her; her",
      "Kiki; cat; she; her; her",      "Bella; bear; she; her; her", "Daisy; duck; she; her; her",
      "Penny; penguin; she; her; her", "Rex; dog; he; him; his",     "Benny; bunny; he; him; his",
      "Oscar; owl; he; him; his",      "Milo; mouse; he; him; his",  "Toby; turtle; he; him; his",
  };
  static const std::vector<StoryTable> tables = {
      {"hero kind he him his", characters},
      {"friend fkind fhe fhim fhis", characters},
      {"adult", {"mom", "dad", "grandma", "grandpa"}},
      {"house", {"small house", "red house", "warm little home", "house on a hill", "house by the sea"}},
      {"hobby",
       {"play outside", "sing songs", "draw pictures", "read books", "look at the stars", "dance in the rain"}},
      {"toy",
       {"red ball", "blue kite", "yellow duck", "little boat", "toy train", "green frog", "soft bear", "magic stone"}},
      {"food", {"apple", "cookie", "pear", "banana", "sandwich", "pie"}},
      {"place",
       {"in the park", "in the garden", "in the forest", "by the river", "on the beach", "on the hill",
        "near the pond"}},
      {"hidden", {"under a big leaf", "behind a tree", "in a small box", "under a bench", "in the tall grass"}},
      {"baby trouble rescue",
       {"kitten; was stuck in a tree; climbed up and took it down",
        "bird; had fallen out of its nest; put it back into the nest",
        "puppy; was lost and cold; gave it a warm blanket and took it home",
        "duckling; could not find its mother; took it back to the pond",
        "frog; was stuck in a deep hole; put a long stick into the hole",
        "hedgehog; was caught in a net; cut the net and let it go"}},
      {"skill failed",
       {"ride a bike; fell into the grass", "swim; sank like a stone", "fly a kite; dropped the string",
        "skate; fell on the ice", "jump over the stream; fell into the water", "climb the tall tree; slid back down"}},
      {"indoor did",
       {"build a fort; built a fort", "bake a cake; baked a cake", "read a book; read a book",
        "paint a picture; painted a picture", "sing a song; sang a song", "play a game; played a game"}},
      {"noise", {"the wind", "the cat", "a little mouse", "the old tree", "the rain on the roof"}},
      {"gift material",
       {"paper star; some paper", "warm hat; some wool", "little boat; some wood", "pretty card; some paper",
        "flower crown; some flowers"}},
      {"plant", {"tall sunflower", "red rose", "big pumpkin", "apple tree", "little strawberry"}},
      {"broken", {"blue vase", "big cup", "old lamp", "white plate"}},
      {"animal size home meal sound",
       {"cat; small and soft; in a house; fish; meow", "dog; strong and friendly; in a house; meat; woof",
        "cow; big and calm; on a farm; grass; moo", "duck; small and yellow; near a pond; bread; quack",
        "pig; round and pink; on a farm; apples; oink", "sheep; white and soft; on a hill; grass; baa",
        "horse; tall and fast; on a farm; hay; neigh", "lion; strong and brave; in a warm land; meat; roar",
        "owl; quiet and wise; in a tree; mice; hoo", "bee; tiny and busy; in a hive; honey; buzz",
        "frog; small and green; near a pond; flies; ribbit", "mouse; tiny and gray; in a hole; cheese; squeak"}},
      {"thing color",
       {"sky; blue", "grass; green", "sun; yellow", "snow; white", "night; black", "strawberry; red", "sea; blue",
        "pumpkin; orange", "elephant; gray", "banana; yellow"}},
      {"sum result",
       {"one plus one; two", "one plus two; three", "two plus two; four", "two plus three; five",
        "three plus three; six", "four plus three; seven", "four plus four; eight", "five plus four; nine",
        "five plus five; ten"}},
      {"question answer",
       {"Where does the sun go at night?; The sun shines on the other side of the world. In the morning it comes back.",
        "Why is the sky blue?; The light of the sun has many colors. The air spreads the blue light most.",
        "How do I make a friend?; Smile, say hello and ask if you can play together.",
        "What can I do when it rains?; You can read a book, bake a cake or jump in the puddles.",
        "How do birds fly?; Birds have light bones and strong wings. The wings push the air down.",
        "What is a rainbow?; A rainbow is sunlight in drops of rain. It has many pretty colors.",
        "Why do leaves fall?; In autumn the trees get ready for winter, so they drop their leaves.",
        "What is the moon?; The moon is a big ball of rock. It goes around the earth and shines at night.",
        "Why do we sleep?; When we sleep, our body rests and grows, and our head sorts the day.",
        "How does a seed grow?; A seed needs water, earth and sun. First it grows a root and then a little leaf."}},
      {"riddle solution",
       {"What has hands but can not clap?; A clock!", "What has teeth but can not bite?; A comb!",
        "What gets wet while it dries?; A towel!", "Why did the cookie go to the doctor?; It felt crumby!",
        "What do you call a bear with no teeth?; A gummy bear!", "What has ears but can not hear?; A field of corn!"}},
      {"mood wish",
       {"sad; I am sorry to hear that.", "tired; Then it is time to rest.", "happy; That is great! I am happy too.",
        "scared; You are safe. Take a deep breath.", "bored; Let us do something fun.",
        "angry; Take a deep breath and count to ten."}},
  };
  return tables;
}

const std::vector<StoryRule>& story_rules() {
  static const std::vector<StoryRule> rules = {
      {"text", "[<story>|<story>|<story>|<story>|<story>|<dialogue>|<dialogue>|<dialogue>|<greeting>]"},

      {"story", "[<opening>|<opening>|<opening>|<opening>|<other opening>] <plot>[ The end.|]"},
      {"opening",
       "Once upon a time, there was a [little|little|kind|brave|curious] {kind} named {hero}. "
       "{He} lived in a {house} and loved to {hobby}."},
      {"other opening", "{Hero} was a [little|happy] {kind}. {He} loved to {hobby}."},
      {"plot", "[<lost toy>|<sharing>|<rescue>|<learning>|<rainy day>|<dark night>|<birthday>|<seed>|<truth>|<race>]"},
      {"one day", "One [day|day|sunny day|warm morning]"},
      {"together",
       "[They played together until the sun went down.|They laughed and played all day.|"
       "From that day on, they were best friends.]"},
      {"lost toy",
       "{He} had a {toy} and played with it every day. <one day>, the {toy} was gone. {Hero} looked under the bed. "
       "It was not there. {He} looked behind the door. It was not there. {Hero} was very sad[ and began to cry|]. "
       "Then {his} friend {friend} came. \"Do not be sad,\" said {friend}. \"I will help you.\" They looked {place} "
       "and "
       "found the {toy} {hidden}. \"Thank you, {friend}!\" said {hero}. \"You are a good friend.\" <together>"},
      {"sharing",
       "<one day>, {hero} sat {place} and wanted to eat a big {food}. Then {he} saw {friend} the {fkind}. {Friend} "
       "looked "
       "sad. \"What is wrong?\" asked {hero}. \"I am so hungry,\" said {friend}. {Hero} gave half of the {food} to "
       "{friend}. \"Thank you!\" said {friend}. \"You are very kind.\" They sat in the sun and ate. "
       "{Hero} learned that it is good to share."},
      {"rescue",
       "<one day>, {he} was {place} and heard a sound. \"Help! Help!\" It was a little {baby}. The {baby} {trouble}. "
       "\"Do not be afraid,\" said {hero}. \"I will help you.\" {He} {rescue}. The {baby} was safe. "
       "\"Thank you,\" said the {baby}. \"You are my hero!\" <together>"},
      {"learning",
       "{Hero} wanted to {skill}. {He} tried, but <it failed>. {He} tried again, but <it failed>. \"I can not do it,\" "
       "said {hero}. \"Do not give up,\" said {his} {adult}. \"Try one more time.\" So {hero} tried one more time. "
       "This "
       "time it worked! \"I can {skill}!\" {he} shouted. {His} {adult} was very proud and gave {him} a big hug."},
      {"it failed", "{he} {failed}"},
      {"rainy day",
       "<one day>, {hero} wanted to play {place}, but it began to rain. \"I can not go out,\" {he} said. \"What can I "
       "do?\" "
       "{His} {adult} smiled. \"Let us {indoor},\" said {his} {adult}. So they {did}. It was a lot of fun. Then the "
       "rain "
       "stopped and the sun came out. There was a big rainbow in the sky. \"Look!\" said {hero}. \"It is so pretty!\""},
      {"dark night",
       "One night, {hero} could not sleep. It was very dark and {he} heard a strange sound. \"Who is there?\" asked "
       "{hero}. "
       "{He} was scared and called {his} {adult}. {His} {adult} came with a little lamp. They looked under the bed and "
       "out "
       "of the window. It was only {noise}. {Hero} laughed. \"Now I am not afraid,\" {he} said. {He} closed {his} eyes "
       "and "
       "slept until the morning."},
      {"birthday",
       "<one day>, it was the birthday of {his} friend {friend}. {Hero} wanted to give {fhim} a gift, but {he} had no "
       "money. "
       "\"I know what to do,\" said {hero}. \"I will make a {gift}.\" {He} took {material} and worked all morning. "
       "{Friend} opened the box and saw the {gift}. \"I love it!\" said {friend}. \"It is the best gift of all.\" Then "
       "they "
       "ate cake and sang a song."},
      {"seed",
       "<one day>, {he} found a little seed {place}. {He} put it into the ground and gave it water every day. But "
       "nothing "
       "happened. \"Why does it not grow?\" asked {hero}. \"You must wait,\" said {his} {adult}. So {hero} waited. One "
       "morning, there was a little green leaf. The leaf grew and grew. At last it was a {plant}. \"I made it grow!\" "
       "said {hero}. {He} was very happy."},
      {"truth",
       "<one day>, {hero} played with a {toy} in the house. Crash! The {broken} fell down and broke. {Hero} was scared "
       "and "
       "wanted to hide. But then {he} went to {his} {adult}. \"I am sorry,\" said {hero}. \"I broke the {broken}.\" "
       "\"Thank "
       "you for telling the truth,\" said {his} {adult}. They cleaned up together. {Hero} learned that it is good to "
       "tell "
       "the truth."},
      {"race",
       "<one day>, {he} had a race with {friend} the {fkind}. \"I am very fast,\" said {friend}. \"I will win!\" They "
       "ran and "
       "ran. Then {friend} fell down and hurt {fhis} leg. {Hero} stopped and helped {fhim} up. They walked to the end "
       "of the "
       "race hand in hand. \"We both win,\" said {hero}. {Friend} smiled. <together>"},

      {"greeting",
       "Hello! My name is {hero}. I am a [little|happy|brave] {kind}. I live in a {house} with my {adult}. I love to "
       "{hobby}. My best friend is {friend} the {fkind}. We play {place} every day. "
       "[What is your name?|Do you want to play with us?|I hope to see you soon!]"},

      {"dialogue", "[<hello>\n|][<talk>|<talk>|<talk>\n<talk more>][\n<bye>|]"},
      {"hello",
       "User: [Hello!|Hi!|Good morning!]\nAssistant: Hello! [<how are you>|It is nice to see you.|What can I do "
       "for you?]"},
      {"how are you",
       "How are you today?\nUser: I am [fine|good|very well], thank you. How are you?\nAssistant: I am very well too."},
      {"talk", "[<tell story>|<tell story>|<tell about>|<question>|<color>|<sum>|<joke>|<sounds>|<mood talk>|<who>]"},
      {"talk more", "[<color>|<sum>|<joke>|<sounds>|<question>]"},
      {"tell story",
       "User: [Tell me a story[ about a {kind}|].|Tell me a story[ about a {kind}|].|Please <ask story>.|Can you "
       "<ask story>?]\nAssistant: <opening> <plot>"},
      {"ask story", "tell me a story[ about a {kind}|]"},
      {"tell about",
       "User: Tell me about the {animal}.\nAssistant: The {animal} is {size}. It lives {home} and likes to eat {meal}. "
       "It says {sound}."},
      {"question", "User: {question}\nAssistant: {answer}"},
      {"color", "User: What color is the {thing}?\nAssistant: The {thing} is {color}."},
      {"sum", "User: What is {sum}?\nAssistant: {Sum} is {result}."},
      {"joke", "User: Tell me a [joke|riddle].\nAssistant: {riddle}\nUser: I do not know.\nAssistant: {solution}"},
      {"sounds", "User: What does the {animal} say?\nAssistant: The {animal} says {sound}."},
      {"mood talk",
       "User: I am {mood}.\nAssistant: {wish} Do you want to hear a story?\nUser: Yes, please.\nAssistant: <opening> "
       "<plot>"},
      {"who",
       "User: [Who are you?|What is your name?]\nAssistant: My name is Vigor. I am a little language model and I love "
       "to tell stories."},
      {"bye",
       "User: [Thank you!\nAssistant: You are welcome.|Good night!\nAssistant: Good night! "
       "Sleep well.|Bye!\nAssistant: Bye! See you soon.]"},
  };
  return rules;
}

}  // namespace vigor
