"""Words of both languages that the drawings and the questions about them use."""

from __future__ import annotations

COLOURS = {
    "red": ("红色", (214, 39, 40)),
    "green": ("绿色", (34, 139, 34)),
    "blue": ("蓝色", (31, 87, 214)),
    "yellow": ("黄色", (240, 205, 20)),
    "purple": ("紫色", (136, 46, 168)),
    "orange": ("橙色", (255, 127, 14)),
    "black": ("黑色", (20, 20, 20)),
    "gray": ("灰色", (140, 140, 140)),
}
SHAPES = {
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "star": "星形",
    "diamond": "菱形",
    "cross": "十字形",
}
PLACES = {
    (0, 0): ("top left", "左上"),
    (1, 0): ("top right", "右上"),
    (0, 1): ("bottom left", "左下"),
    (1, 1): ("bottom right", "右下"),
}
ENGLISH = """
apple bread chair door eagle field glass house island juice knife lemon music night ocean paper
queen river stone table uncle voice water youth zebra army bank cloud dance earth flower garden
honey iron jungle king light market north olive plant quick road snow train urban valley wind yard
beach candy dream engine forest grain horse ink joy kitchen lamp mountain nurse orange piano rain
summer tiger umbrella village winter animal bridge coffee doctor energy family guitar hotel insect
jacket ladder mirror number office pencil rabbit school ticket window yellow basket camera desert
""".split()
CHINESE = """
苹果 面包 椅子 大门 老鹰 田野 玻璃 房子 岛屿 果汁 小刀 柠檬 音乐 夜晚 海洋 纸张 女王 河流 石头 桌子
声音 开水 青年 斑马 军队 银行 白云 跳舞 地球 花朵 花园 蜂蜜 钢铁 丛林 国王 灯光 市场 北方 植物 道路
雪山 火车 城市 山谷 大风 院子 海滩 糖果 梦想 森林 谷物 马车 厨房 台灯 高山 护士 橘子 钢琴 下雨 夏天
老虎 雨伞 村庄 冬天 动物 大桥 咖啡 医生 能源 家庭 吉他 酒店 昆虫 外套 梯子 镜子 数字 办公 铅笔 兔子
学校 车票 窗户 篮子 相机 沙漠 时间 人民 中国 世界 工作 生活 学生 老师 电话 电脑 水果 牛奶 早上 晚上
""".split()
ITEMS = {
    "tea": "茶", "rice": "米饭", "milk": "牛奶", "soup": "汤", "fish": "鱼", "egg": "鸡蛋",
    "cake": "蛋糕", "beef": "牛肉", "salt": "盐", "pear": "梨", "bread": "面包", "juice": "果汁",
}  # fmt: skip
FIELDS = {
    "Name": "姓名", "City": "城市", "Code": "编号", "Date": "日期", "Room": "房间", "Phone": "电话",
    "Price": "价格", "Order": "订单", "Seat": "座位", "Gate": "登机口", "Level": "级别",
    "Stock": "库存",
}  # fmt: skip
MONTHS = {
    "Jan": "一月", "Feb": "二月", "Mar": "三月", "Apr": "四月", "May": "五月", "Jun": "六月",
    "Jul": "七月", "Aug": "八月",
}  # fmt: skip
SYLLABLES = "ba be bo da de do fa fi ga go ha hi ka ki ko la li lo ma mi mo na ne no pa pe po ra re ri ro sa se so ta te ti to va vi wa we za zo".split()  # noqa: E501

CHARACTERS = sorted(
    set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:.,-")
    | set("".join(CHINESE))
    | set("".join((*ITEMS.values(), *FIELDS.values(), *MONTHS.values(), "合计商店")))
)
"""Everything that is ever written in a picture."""
